"""Which value a variable gets, when several want to bind it."""

import pytest

from nbflow.magics.claims import Claims


@pytest.fixture
def namespace():
    return {"x": "old"}


@pytest.fixture
def claims(namespace):
    return Claims(namespace)


def test_a_claimed_variable_cannot_be_read_until_it_is_bound(claims, namespace):
    claims.claim("a", ["x", "y"])
    assert namespace == {}
    assert claims.holder("x") == claims.holder("y") == "a"

    assert claims.settle("a", ["x", "y"], {"x": 1, "y": 2}) == ()
    assert namespace == {"x": 1, "y": 2}
    assert claims.holder("x") is None


def test_who_brings_nothing_leaves_what_was_there(claims, namespace):
    claims.claim("a", ["x", "y"])
    claims.settle("a", ["x", "y"], {})

    assert namespace == {"x": "old"}


def test_what_was_deleted_is_gone(claims, namespace):
    claims.claim("a", ["x"])
    claims.settle("a", ["x"], {}, ["x"])

    assert namespace == {}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_last_that_was_sent_wins_in_whatever_order_they_end(claims, namespace, order):
    claims.claim("a", ["x"])
    claims.claim("b", ["x"])
    for node in order:
        claims.settle(node, ["x"], {"x": node})

    assert namespace == {"x": "b"}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_if_the_last_fails_the_one_before_it_counts(claims, namespace, order):
    claims.claim("a", ["x"])
    claims.claim("b", ["x"])
    for node in order:
        claims.settle(node, ["x"], {"x": 1} if node == "a" else {})

    assert namespace == {"x": 1}


def test_what_the_user_has_bound_meanwhile_is_not_written_over(claims, namespace):
    claims.claim("a", ["x", "y"])
    namespace["x"] = "of the user"

    assert claims.settle("a", ["x", "y"], {"x": 1, "y": 2}) == ("x",)
    assert namespace == {"x": "of the user", "y": 2}
