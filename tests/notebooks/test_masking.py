"""Masks: no form of a secret gets through, nothing else is changed."""

import base64
import html
import itertools
import json
import urllib.parse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode

from nbflow.notebooks.masking import MASKED, NO_SECRETS, Mask

#: Everything that some form escapes.
AWKWARD = 's3cr<t & "quoted" \\ ünï/€'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nnvZ4=\n-----END KEY-----\n"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(text.encode()),
        lambda text: repr({"token": [text]}),
        html.escape,
        lambda text: html.escape(text, quote=False),
        urllib.parse.quote,
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    ],
)
def test_every_common_way_to_show_a_secret_is_masked(show):
    shown = f"Bearer {show(AWKWARD)}!"
    masked = Mask([AWKWARD]).text(shown)
    assert MASKED in masked
    assert show(AWKWARD).strip("'\"") not in masked
    assert masked.startswith("Bearer ")
    assert masked.endswith("!")


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
def test_a_secret_inside_of_a_longer_base64_text_is_masked(user):
    code = base64.b64encode(f"{user}:correct-horse-battery:{user}".encode()).decode()
    masked = Mask(["correct-horse-battery"]).text(code)
    assert MASKED in masked
    rest = masked.replace(MASKED, "")
    assert len(rest) <= len(code) - 4 * len("correct-horse-battery") // 3 + 2


def test_a_secret_of_several_lines_is_masked_whole_and_line_by_line():
    mask = Mask([KEY])
    assert mask.text(f"<{KEY}>") == f"<{MASKED}>"
    assert mask.text(f"<{json.dumps(KEY)}>") == f'<"{MASKED}">'
    assert mask.text("> MIIEvQIBADANBgkqhkiG <") == f"> {MASKED} <"
    # A short line is likely to be something else.
    assert mask.text("nvZ4=") == "nvZ4="


def test_a_secret_that_contains_another_one_is_masked_as_one():
    assert Mask(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{MASKED} {MASKED}"


def test_texts_too_short_to_be_told_apart_are_not_looked_for():
    mask = Mask(["", "abc"])
    assert not mask.active
    assert mask.longest == 0
    assert mask.text("abc") == "abc"
    assert mask.leak(b"abc") is None


def test_content_is_masked_in_place_of_a_copy_of_what_changed():
    clean = {"text": ["plain", 1, None, {"deep": True}]}
    output = NotebookNode(data={"text/plain": "token: hunter22", "n": 3}, clean=clean)
    masked = Mask(["hunter22"]).content(output)
    assert masked == {"data": {"text/plain": f"token: {MASKED}", "n": 3}, "clean": clean}
    assert type(masked) is NotebookNode
    assert masked["clean"] is clean
    assert output["data"]["text/plain"] == "token: hunter22"


def test_keys_are_masked_too():
    assert Mask(["hunter22"]).content({"a hunter22": ("hunter22",)}) == {f"a {MASKED}": (MASKED,)}


@pytest.mark.parametrize("mask", [NO_SECRETS, Mask(["hunter22"])])
@pytest.mark.parametrize("value", ["text", ["a"], {"a": ["b"]}, ("a",), 3, None, {}, []])
def test_content_without_secrets_is_the_same_object(mask, value):
    assert mask.content(value) is value


def test_a_mask_does_not_show_its_secrets():
    assert "hunter22" not in repr(Mask(["hunter22"]))


@pytest.mark.parametrize("secret", ["hunter22", "aaaa", "abcabcabd", KEY, AWKWARD])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_secret_that_arrives_in_pieces_is_masked(secret, size):
    mask = Mask([secret])
    text = f"a{secret}b{secret}{secret}c" + secret[:3]
    stream = mask.stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    shown = "".join([*map(stream.feed, pieces), stream.rest()])
    assert shown == mask.text(text)
    assert secret not in shown


@given(
    st.text("ab", max_size=60),
    st.lists(st.text("ab", min_size=4, max_size=9), min_size=1, max_size=3),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_it_makes_no_difference_where_a_text_is_cut(text, secrets, cuts):
    mask = Mask(secrets)
    stream = mask.stream()
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    shown = "".join([*map(stream.feed, pieces), stream.rest()])
    assert shown == mask.text(text)


def test_what_cannot_be_the_beginning_of_a_secret_goes_on_at_once():
    stream = Mask([KEY]).stream()
    assert stream.feed("progress: 1 of 3\n") == "progress: 1 of 3\n"
    assert stream.feed("password: -----BEG") == "password: "
    assert stream.feed("ONIA") == "-----BEGONIA"
    assert stream.rest() == ""


@pytest.mark.parametrize(
    "data",
    [
        b'{"token":"hunter22"}',
        np.array(["x", "hunter22"]).tobytes(),
        "hunter22".encode("utf-16-le"),
        base64.b64encode(b"user:hunter22-"),
    ],
)
def test_a_leak_is_found_in_bytes_and_files_and_told_by_name(data, tmp_path):
    mask = Mask({"other-secret": "${env:OTHER}", "hunter22": "${env:TOKEN}"})
    path = tmp_path / "file"
    path.write_bytes(data)
    assert mask.leak(data) == "${env:TOKEN}"
    assert mask.leak_in_file(path) == "${env:TOKEN}"


def test_clean_and_empty_files_have_no_leak(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert Mask(["hunter22"]).leak_in_file(path) is None
    path.write_bytes(b"hunter2 2")
    assert Mask(["hunter22"]).leak_in_file(path) is None
