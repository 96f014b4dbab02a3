"""Fingerprints: equal for equal makings, and different by the part that differs."""

import msgspec
import pytest

from nbflow.core.fingerprints import Fingerprint, difference, digest, same_but_for_code
from nbflow.core.making import fingerprint_of
from nbflow.core.spec import Identity
from nbflow.core.values import Artifact, FromOutput, FromParam, Inline, Items, Secret, Text


def with_params(node, **params):
    return msgspec.structs.replace(node, params=params, identity=Identity(code="c"))


def made_of(story, node, **params):
    told = story(with_params(node("n"), **params))
    told.run = msgspec.structs.replace(told.run, params={"p": Inline(1), "q": Inline(1)})
    return fingerprint_of(told.run, "n")


def test_two_causes_of_the_same_length_do_not_run_together():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


@pytest.mark.parametrize("part", Fingerprint.__struct_fields__)
def test_every_part_makes_another_key_and_is_named(part):
    one, other = Fingerprint("a"), msgspec.structs.replace(Fingerprint("a"), **{part: "z"})
    assert one.key != other.key
    assert difference(one, other) is not None
    assert difference(one, one) is None


def test_equal_values_count_the_same_wherever_they_come_from(story, node):
    assert made_of(story, node, x=FromParam("p")) == made_of(story, node, x=FromParam("q"))
    assert made_of(story, node, x=FromParam("p")) == made_of(story, node, x=Inline(1))


@pytest.mark.parametrize(
    "other",
    [
        Inline(2),
        Inline(1.0),
        Inline("1"),
        Inline(True),
        Items((Inline(1), Secret("env", "A"))),
        Text(("1", FromParam("p"))),
        Artifact("pickle", "sha256:1", 1),
        Secret("env", "A"),
    ],
    ids=repr,
)
def test_other_values_count_otherwise(story, node, other):
    assert made_of(story, node, x=Inline(1)) != made_of(story, node, x=other)


def test_what_is_said_of_an_artifact_for_people_does_not_count(story, node):
    plain = Artifact("pickle", "sha256:1", 1)
    told = Artifact("pickle", "sha256:1", 1, "list", "[1, 2]")
    assert made_of(story, node, x=plain) == made_of(story, node, x=told)


def test_an_output_counts_by_its_value_and_not_by_its_making(story, node):
    def received(code, value):
        up = msgspec.structs.replace(node("up"), identity=Identity(code=code))
        told = story(up, with_params(node("n"), x=FromOutput("up", "x")))
        told.start("up")
        success = msgspec.structs.replace(told.success("up"), outputs={"x": Inline(value)})
        told.tell(success)
        return fingerprint_of(told.run, "n")

    assert received("one", 1) == received("other", 1)
    assert received("one", 1).upstream != received("one", 2).upstream


def test_an_order_counts_by_the_making(story, node):
    def behind(code):
        up = msgspec.structs.replace(node("up"), identity=Identity(code=code))
        told = story(up, node("n", after=["up"]))
        told.succeed("up")
        return fingerprint_of(told.run, "n")

    assert behind("one").upstream != behind("other").upstream


def test_a_checkpoint_outlives_only_a_change_of_the_nodes_own_code():
    before = Fingerprint("a", params="p")
    assert same_but_for_code(before, Fingerprint("b", params="p"))
    assert not same_but_for_code(before, Fingerprint("a", params="q"))
    assert not same_but_for_code(None, before)
