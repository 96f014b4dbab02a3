"""Secrets as they are written: in a flow, in a flow file, and for a run."""

import pytest

import nbflow
from nbflow.core.values import (
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    Secret,
    SecretText,
    Text,
)
from nbflow.definition import FlowBuilder
from nbflow.definition.bindings import Binder
from nbflow.definition.faults import Fault
from nbflow.definition.preparation import prepare
from nbflow.definition.references import OutputRef, literal, parse_secrets, parse_text
from nbflow.definition.yaml_source import YamlSource

TOKEN = Secret("env:TOKEN")
ADMIN = Secret("keyring:db/admin@host")
OTHER = nbflow.Secret("env:B")


@pytest.fixture
def binder():
    return Binder(owner=None)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("${env:TOKEN}", TOKEN),
        ("${ env:TOKEN }", TOKEN),
        ("${keyring:db/admin@host}", ADMIN),
        ("https://${env:TOKEN}@host", Text(("https://", TOKEN, "@host"))),
        ("$${env:TOKEN}", "${env:TOKEN}"),
    ],
)
def test_a_secret_is_read_in_a_flow_and_in_the_values_of_a_run_alike(text, meaning):
    assert parse_text(text) == meaning
    assert parse_secrets(text) == meaning


def test_other_references_are_text_in_the_values_of_a_run():
    text = "${extract.rows} $${extract.rows} ${HOME} ${vault:x}"
    assert parse_secrets(text) == text
    assert parse_secrets(text + "${env:TOKEN}") == Text((text, TOKEN))
    assert parse_text("${params.d}${env:TOKEN}") == Text((FromParam("d"), TOKEN))


@pytest.mark.parametrize("text", ["${env:}", "${keyring:db}", "${ env: }"])
@pytest.mark.parametrize("parse", [parse_text, parse_secrets])
def test_a_faulty_secret_says_so(parse, text):
    with pytest.raises(Fault, match="is not a secret") as raised:
        parse(text)
    assert "${keyring:SERVICE/USER}" in raised.value.fix


def test_an_unknown_source_is_no_reference_in_a_flow():
    with pytest.raises(Fault, match="is not a secret"):
        parse_text("${vault:TOKEN}")


@pytest.mark.parametrize(
    "text", ["plain", "${env:A}", "$${env:A}", "$$${env:A}", "${a.b} ${env:A}${keyring:b/c}", "${"]
)
def test_a_literal_text_means_itself(text):
    assert parse_secrets(literal(text)) == text


@pytest.mark.parametrize("bind", [Binder.bind, Binder.value])
@pytest.mark.parametrize(
    ("written", "value"),
    [
        (TOKEN, TOKEN),
        ("${env:TOKEN}", TOKEN),
        (f"https://{TOKEN}@host", SecretText(("https://", TOKEN, "@host"))),
        ([1, TOKEN], Items((Inline(1), TOKEN))),
        ((1, "${env:TOKEN}"), Items((Inline(1), TOKEN))),
        ({"a": {"b": TOKEN}}, Fields({"a": Fields({"b": TOKEN})})),
        ("$${env:TOKEN}", Inline("${env:TOKEN}")),
        (["$${env:TOKEN}"], Inline(["${env:TOKEN}"])),
    ],
)
def test_secrets_are_bound_as_references(binder, bind, written, value):
    assert bind(binder, written) == value
    assert binder.blobs == {}


def test_values_of_a_run_keep_their_type_where_there_is_no_secret(binder):
    for data in [("a", "${x.y}"), {1: "${x.y}"}]:
        assert binder.value(data).kind == "pickle"
    endless = []
    endless.append(endless)
    assert binder.value(endless).kind == "pickle"


def test_values_of_a_run_have_no_references_to_nodes(binder):
    with pytest.raises(Fault, match="refers to a node"):
        binder.value([TOKEN, OutputRef("a", "b")])


def test_a_secret_can_be_a_default_of_a_flow_of_a_function_and_of_a_run(tmp_path):
    builder = FlowBuilder("f", params={"token": nbflow.Secret("env:A"), "x": 1}, base_dir=tmp_path)

    @builder.task
    def use(token=OTHER, given=None):
        return token

    prepared = prepare(builder.draft, {"x": "${env:C}"}, kernels=None)
    assert prepared.params == {"token": Secret("env:A"), "x": Secret("env:C")}
    assert prepared.spec.params["token"] == Secret("env:A")
    assert prepared.spec.nodes[0].params["token"] == Secret("env:B")


def test_in_a_flow_file_a_secret_needs_no_quotes():
    text = "a: {b: ${env:TOKEN}, c: [${keyring:db/admin@host}, ${x.y}]}\nd: ${env:TOKEN}"
    value = YamlSource(text, "flow.yaml").value
    assert value == {
        "a": {"b": "${env:TOKEN}", "c": ["${keyring:db/admin@host}", "${x.y}"]},
        "d": "${env:TOKEN}",
    }
    assert parse_text(value["a"]["c"][0]) == ADMIN
    assert parse_text(value["a"]["c"][1]) == FromOutput("x", "y")
