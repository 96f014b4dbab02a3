"""Older bodies become today's, step by step."""

import pytest

from nbflow.core import events as ev
from nbflow.core.errors import JournalError, NewerSchema
from nbflow.journal import codec
from nbflow.journal.versions import HISTORY, Versions


def named_by(body):
    return {"type": body["type"], "driver": body["name"]}


def upper(body):
    return {**body, "driver": body["driver"].upper()}


#: As if a driver had been a `name` in version 1, and in small letters in version 2.
THREE = Versions({"RunClaimed": 3}, {("RunClaimed", 1): named_by, ("RunClaimed", 2): upper})


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (1, b'{"type":"RunClaimed","name":"host:1"}'),
        (2, b'{"type":"RunClaimed","driver":"host:1"}'),
        (3, b'{"type":"RunClaimed","driver":"HOST:1"}'),
    ],
)
def test_a_body_of_any_version_becomes_todays(version, body):
    assert codec.decode("RunClaimed", version, body, "here", THREE) == ev.RunClaimed("HOST:1")


def test_other_types_have_versions_of_their_own():
    body = codec.encode(ev.RunReopened("host:1"))
    assert codec.decode("RunReopened", 1, body, "here", THREE) == ev.RunReopened("host:1")
    with pytest.raises(NewerSchema, match="knows it up to version 1"):
        codec.decode("RunReopened", 2, body, "here", THREE)


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"type":"RunClaimed"}', b'{"type":"RunReopened","name":"host:1"}']
)
def test_a_damaged_body_of_an_older_version_names_the_place(body):
    with pytest.raises(JournalError, match=r"seq 7: the body of RunClaimed is damaged"):
        codec.decode("RunClaimed", 1, body, "seq 7", THREE)


@pytest.mark.parametrize(
    ("current", "upcasters"),
    [({"RunClaimed": 2}, {}), ({}, {("RunClaimed", 1): upper})],
    ids=["a step is missing", "a step leads nowhere"],
)
def test_every_former_version_has_its_step(current, upcasters):
    with pytest.raises(ValueError, match="RunClaimed 1"):
        Versions(current, upcasters)


def test_versions_are_of_events_that_there_are():
    assert set(HISTORY.current) <= codec.KNOWN_TYPES
