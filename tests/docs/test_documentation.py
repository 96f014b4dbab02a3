"""What the documentation lists is what there is: options, keys, names, states, reasons, links."""

import inspect
import json
import typing

import click
import pytest
from markdown_page import PAGES, ROOT, anchors, blocks, codes, first_codes, links, rows, sections
from staged_run import StagedRun

import nbflow
from nbflow.cli import errors as exits
from nbflow.cli.commands import COMMANDS, root
from nbflow.core import errors, states
from nbflow.core import events as ev
from nbflow.core.findings import FindingKind
from nbflow.definition.document import schema
from nbflow.session.document import run_document
from nbflow.session.results import NodeHandle

DOCS = ROOT / "docs"
COMMAND_LINE = sections(DOCS / "command-line.md")
FLOW_FILE = sections(DOCS / "flow-file.md")
PYTHON = sections(DOCS / "python.md")
GLOSSARY = DOCS / "glossary.md"
FAILS = sections(DOCS / "when-it-fails.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in links(page):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}: no such heading"


def test_every_page_is_in_the_index():
    listed = {target.partition("#")[0] for target in links(DOCS / "README.md")}
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= listed


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_a_command(command):
    context = click.Context(root.get_command(None, command), info_name=command)
    params = context.command.get_params(context)
    options = {opt for param in params if isinstance(param, click.Option) for opt in param.opts}
    # The help option gets its short name from the group.
    written = first_codes(COMMAND_LINE[command]) | first_codes(COMMAND_LINE["Every command"])
    assert written == options | {"-h", "--help"}
    assert f"`nbflow {command}" in COMMAND_LINE[command]


def test_exit_codes():
    raised = {
        it.exit_code
        for it in vars(errors).values()
        if isinstance(it, type) and issubclass(it, errors.NbflowError)
    }
    own = {0, exits.USAGE, exits.INTERRUPTED, exits.BROKEN_PIPE, exits.BUG}
    assert {int(row[0]) for row in rows(COMMAND_LINE["Exit codes"])} == raised | own


def test_json_of_a_run():
    (block,) = (it for it in blocks(DOCS / "command-line.md") if it.language == "json")
    written = json.loads(block.text)
    real = run_document(StagedRun().view(), 2_000.0)
    assert list(written) == list(real)
    node = next(iter(written["nodes"].values()))
    assert [*next(iter(real["nodes"].values())), "error"] == list(node)


# --- the flow file --------------------------------------------------------------------------------


def keys(definition):
    return set(definition["properties"])


def test_every_key_of_the_flow_file():
    whole = schema()
    inner = dict(whole["$defs"])
    policies = keys(inner.pop("PolicyModel"))
    assert first_codes(FLOW_FILE["The file"]) == keys(whole)
    assert first_codes(FLOW_FILE["Policies"]) == policies
    assert first_codes(FLOW_FILE["A node"]) == keys(inner.pop("NodeModel")) - policies
    assert first_codes(FLOW_FILE["retries"]) == keys(inner.pop("RetryModel"))
    assert first_codes(FLOW_FILE["timeout"]) == keys(inner.pop("TimeoutModel"))
    assert first_codes(FLOW_FILE["output_limit"]) == keys(inner.pop("OutputLimitModel"))
    assert first_codes(FLOW_FILE["cache"]) == keys(inner.pop("CacheModel"))
    assert first_codes(FLOW_FILE["expected"]) == keys(inner.pop("ExpectedModel"))
    assert first_codes(FLOW_FILE["limits"]) == keys(inner.pop("LimitsModel"))
    assert inner == {}, "models that flow-file.md does not speak of"


def test_defaults_of_retries():
    properties = schema()["$defs"]["RetryModel"]["properties"]
    written = {codes(row[0])[0]: float(row[2]) for row in rows(FLOW_FILE["retries"])}
    assert written == {name: field["default"] for name, field in properties.items()}


# --- Python ---------------------------------------------------------------------------------------


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_name_of_the_package():
    names = PYTHON["Python"] + PYTHON["Errors"]
    for name in nbflow.__all__:
        assert f"`nbflow.{name}" in names, name
    for kind in (nbflow.Retry, nbflow.Timeout, nbflow.OutputLimit, nbflow.Cache, nbflow.Embedded):
        fields = inspect.signature(kind).parameters
        text = ", ".join(f"{name}={shown_default(kind, name)}" for name in fields)
        assert f"`nbflow.{kind.__name__}({text})`" in names


def shown_default(kind, name):
    return repr(getattr(kind(), name))


@pytest.mark.parametrize(
    ("kind", "variable", "heading"),
    [
        (nbflow.Flow, "flow", "Flow"),
        (nbflow.Run, "run", "Run"),
        (NodeHandle, "node", "Nodes of a run"),
    ],
)
def test_every_member(kind, variable, heading):
    written = codes(PYTHON[heading])
    for name in public(kind):
        found = [it for it in written if f"{variable}.{name}" in it or it == name]
        assert found, f"python.md does not speak of {variable}.{name}"


@pytest.mark.parametrize("method", ["notebook", "task", "run", "start"])
def test_arguments_of_the_flow(method):
    taken = inspect.signature(getattr(nbflow.Flow, method)).parameters.values()
    names = {it.name for it in taken if it.kind is not it.VAR_KEYWORD} - {"self", "function"}
    told = max((it for it in codes(PYTHON["Flow"]) if f"flow.{method}(" in it), key=len)
    assert names <= set(told.replace("*", "").replace("(", ", ").replace(")", "").split(", "))


def test_errors():
    for names, _, code in rows(PYTHON["Errors"]):
        (name,) = codes(names)
        assert getattr(errors, name.removeprefix("nbflow.")).exit_code == int(code)


def test_events():
    assert first_codes(PYTHON["Events"]) == {it.__name__ for it in typing.get_args(ev.Event)}


# --- words ----------------------------------------------------------------------------------------


def test_states():
    section = sections(GLOSSARY)["States"]
    assert first_codes(section) == {str(it) for it in (*states.NodeState, *states.RunStatus)}


def test_reasons():
    known = {
        kind
        for kinds in (states.FailureKind, states.SkipKind, states.LossKind)
        for kind in typing.get_args(kinds)
    }
    unused = {"route_not_taken", "lost_lease"}
    assert first_codes(FAILS["Reasons"]) == known - unused
    assert unused <= set(codes(FAILS["Reasons"]))


def test_finding_kinds():
    section = sections(DOCS / "diagnosis.md")["Findings"]
    assert first_codes(section) == {str(it) for it in FindingKind}


def test_the_glossary_is_sorted():
    words = [row[0] for row in rows(sections(GLOSSARY)["Glossary"])]
    assert words == sorted(words)
