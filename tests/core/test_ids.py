import random

import pytest

from nbflow.core.ids import (
    AttemptId,
    groups_of,
    is_node_name,
    is_run_id,
    new_run_id,
    without_credentials,
)

NOON = 1_767_268_800.0  # 2026-01-01 12:00:00 UTC


@pytest.mark.parametrize("name", ["load", "models/forest", "a.b-c_1", "_x", "7", "a/b/c"])
def test_names_that_a_node_may_have(name):
    assert is_node_name(name)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".hidden", "a/../b", "-x", "a b", "é", "a\n"]
)
def test_names_that_a_node_may_not_have(name):
    assert not is_node_name(name)


def test_a_run_id_is_one_segment():
    assert is_run_id("sales-20260101-120000-abcd")
    assert not is_run_id("a/b")
    assert not is_run_id("..")


@pytest.mark.parametrize(
    ("flow", "label"),
    [("sales", "sales"), ("my flow (2)", "my-flow-2"), ("a/b", "a-b"), ("…", "run"), ("", "run")],
)
def test_a_new_run_id_names_flow_and_time_and_is_legal(flow, label):
    run = new_run_id(flow, NOON, random.Random(1))
    assert run.startswith(f"{label}-20260101-120000-")
    assert is_run_id(run)


def test_run_ids_of_one_second_differ_and_those_of_two_seconds_sort():
    rng = random.Random(1)
    same_second = {new_run_id("f", NOON, rng) for _ in range(20)}
    assert len(same_second) == 20
    assert new_run_id("f", NOON, rng) < new_run_id("f", NOON + 1, rng)


def test_groups_are_named_outermost_first():
    assert groups_of("load") == ()
    assert groups_of("models/trees/forest") == ("models", "models/trees")


def test_tries_of_one_node_share_their_idempotency_key():
    first, second = AttemptId("r", "m/a", 1, 1), AttemptId("r", "m/a", 2, 3)
    assert first.idempotency_key == second.idempotency_key == "r/m/a"
    assert str(second) == "m/a#2"
    assert first < second


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://ada:secret@host/runs", "ftp://host/runs"),
        ("ftp://ada:s@cret@host:21/runs", "ftp://host:21/runs"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("file:///home/ada@work/runs", "file:///home/ada@work/runs"),
        ("/home/ada", "/home/ada"),
    ],
)
def test_an_address_is_shown_without_credentials(url, shown):
    assert without_credentials(url) == shown
