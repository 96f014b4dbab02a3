"""Secrets as values: references that stay references."""

import msgspec
import pytest

from nbflow.core.values import (
    Binding,
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    NotText,
    Secret,
    SecretText,
    Text,
    Value,
    artifacts_in,
    references,
    resolve,
    secrets_in,
)

TOKEN = Secret("env", "TOKEN")
LOGIN = SecretText(("https://", TOKEN, "@host"))


def resolved(binding, **params):
    return resolve(binding, params, lambda _: Inline("out"))


@pytest.mark.parametrize(
    ("written", "source", "name"),
    [
        (("env", "TOKEN"), "env", "TOKEN"),
        (("env:TOKEN",), "env", "TOKEN"),
        (("keyring:db/admin",), "keyring", "db/admin"),
        (("keyring", "https://db:1/admin"), "keyring", "https://db:1/admin"),
    ],
)
def test_a_secret_is_written_in_one_part_or_two(written, source, name):
    secret = Secret(*written)
    assert (secret.source, secret.name) == (source, name)
    assert str(secret) == f"${{{source}:{name}}}"
    assert Secret(str(secret)[2:-1]) == secret


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (("TOKEN",), "no source"),
        (("vault:TOKEN",), "no source"),
        (("env:",), "cannot be the name"),
        (("env:A}B",), "cannot be the name"),
        (("env:A\nB",), "cannot be the name"),
        (("keyring:db",), "service/user"),
        (("keyring:/admin",), "service/user"),
        (("keyring:db/",), "service/user"),
    ],
)
def test_what_names_no_secret_is_refused(written, words):
    with pytest.raises(ValueError, match=words):
        Secret(*written)


@pytest.mark.parametrize(
    ("binding", "value"),
    [
        (TOKEN, TOKEN),
        (LOGIN, LOGIN),
        (FromParam("token"), TOKEN),
        (Text((TOKEN,)), TOKEN),
        (Text(("", FromParam("token"))), TOKEN),
        (Text(("https://", FromParam("token"), "@host")), LOGIN),
        (Text(("a ", FromParam("login"))), SecretText(("a ", *LOGIN.parts))),
        (Text((TOKEN, FromOutput("a", "x"))), SecretText((TOKEN, "out"))),
        (Items((Inline(1), FromParam("token"))), Items((Inline(1), TOKEN))),
        (Fields({"a": LOGIN, "b": Inline(1)}), Fields({"a": LOGIN, "b": Inline(1)})),
    ],
)
def test_a_secret_stays_a_reference_when_all_else_is_resolved(binding, value):
    assert resolved(binding, token=TOKEN, login=LOGIN) == value


def test_a_text_does_not_take_a_list_with_a_secret():
    with pytest.raises(NotText):
        resolved(Text(("a", FromParam("list"))), list=Items((TOKEN,)))


def test_secrets_are_found_wherever_they_stand():
    other = Secret("keyring:db/admin")
    value = Items((TOKEN, Fields({"a": SecretText(("x", other))}), Inline(1)))
    assert list(secrets_in(value)) == [TOKEN, other]
    assert list(secrets_in(Text(("x", TOKEN, FromParam("a"))))) == [TOKEN]
    assert list(references(value)) == []
    assert list(references(Text((TOKEN, FromParam("a"))))) == [FromParam("a")]
    assert list(artifacts_in(value)) == []


@pytest.mark.parametrize("value", [TOKEN, LOGIN, Items((TOKEN, LOGIN)), Fields({"a": TOKEN})])
def test_secrets_survive_the_journal_and_the_wire(value):
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(value), type=Value) == value
        assert codec.decode(codec.encode(Text(("a", TOKEN))), type=Binding) == Text(("a", TOKEN))
