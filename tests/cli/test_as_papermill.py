"""papermill's words on our command line, as far as nothing runs: paths, refusals, preparing."""

import io
import json
import logging
import os
from datetime import UTC, datetime

import click
import nbformat
import papermill.cli
import pytest
from click.testing import CliRunner
from papermill.parameterize import parameterize_path

from nbflow.cli import single
from nbflow.cli.as_papermill import _IN_A_FLOW, _OPTIONS, PapermillOptions
from nbflow.cli.commands import root
from nbflow.cli.paths import formatted, is_notebook, path_values
from nbflow.core.errors import OutputFolderError
from nbflow.core.spec import PapermillForm
from nbflow.notebooks.elsewhere import Unreachable

NOTHING = PapermillOptions()


def plan(target, output=None, params=None, asked=NOTHING, output_dir=None):
    return single.planned(target, output, params or {}, asked, output_dir)


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "plain.ipynb",
        "{date}/{n}.ipynb",
        "s3://bucket/{date}.ipynb",
        "{n:03d}-{{x}}.ipynb",
        "{nested[a]}",
        "{pm[run_uuid]}",
        "{pm[current_datetime_utc]:%Y}/{pm[current_datetime_local]}",
    ],
)
def test_paths_are_formatted_as_papermill_formats_them(path):
    values = path_values({"date": "2026-01-01", "n": 7, "nested": {"a": 1}})
    assert formatted(path, values) == parameterize_path(path, values)


def test_pm_is_what_papermill_knows_and_a_parameter_may_be_called_so():
    pm = path_values({})["pm"]
    theirs = papermill.parameterize.add_builtin_parameters({})["pm"]
    assert {name: type(value) for name, value in pm.items()} == {
        name: type(value) for name, value in theirs.items()
    }
    assert pm["current_datetime_utc"].tzinfo is not None
    assert abs((datetime.now(UTC) - pm["current_datetime_utc"]).total_seconds()) < 60
    assert path_values({"pm": 1})["pm"] == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{date}.ipynb", "needs the parameter 'date'"),
        ("{}.ipynb", "needs a name"),
        ("{0}.ipynb", "needs a name"),
        ("{date", "faulty braces"),
        ("{n.real.nope}", "faulty braces"),
        ("{n:zz}", "faulty braces"),
    ],
)
def test_a_path_that_cannot_be_formatted_is_bad_usage(path, message):
    with pytest.raises(click.UsageError, match=message):
        formatted(path, {"n": 1})


@pytest.mark.parametrize(
    ("target", "bare", "with_output"),
    [
        ("note.ipynb", True, True),
        ("{name}.ipynb", True, True),
        ("-", True, True),
        ("/dev/stdin", True, True),
        ("s3://bucket/note.ipynb", True, True),
        ("https://example.org/raw?id=3", True, True),
        ("note", False, True),
        ("note.json", False, True),
        ("flow.yaml", False, False),
        ("flow.py", False, False),
        ("flow.py:flow", False, False),
        ("module:flow", False, False),
        ("s3://bucket/flow.yaml", False, False),
    ],
)
def test_what_is_a_notebook(target, bare, with_output):
    assert is_notebook(target, has_output=False) is bare
    assert is_notebook(target, has_output=True) is with_output


# --- what is planned ------------------------------------------------------------------------------


def test_without_output_a_notebook_runs_as_it_always_has(folder, notebook):
    notebook("note.ipynb", "a = 1")
    it = plan("note.ipynb")
    assert it.notebook.form == PapermillForm()
    assert it.notebook.data is None
    assert not it.to_stdout


def test_with_output_it_runs_in_the_current_folder_and_is_saved_there(folder, notebook):
    (folder / "sub").mkdir()
    notebook("sub/note.ipynb", "a = 1")
    form = plan("sub/{x}.ipynb", "out/{x}.ipynb", {"x": "note"}).notebook.form
    assert form == PapermillForm(
        folder=str(folder),
        input_path="sub/note.ipynb",
        output_path="out/note.ipynb",
        saved_to=str(folder / "out" / "note.ipynb"),
    )
    assert not (folder / "out").exists()


def test_a_link_stays_a_link(folder):
    (folder / "real.ipynb").touch()
    (folder / "link.ipynb").symlink_to("real.ipynb")
    form = plan("x.ipynb", "link.ipynb").notebook.form
    assert (form.output_path, form.saved_to) == ("link.ipynb", str(folder / "real.ipynb"))


@pytest.mark.parametrize(
    ("output", "delivered_to"),
    [
        ("/dev/null", "/dev/null"),
        ("s3://bucket/{a}.ipynb", "s3://bucket/1.ipynb"),
        ("gs://bucket/x.ipynb", "gs://bucket/x.ipynb"),
    ],
)
def test_what_no_worker_can_save_is_delivered_at_the_end(folder, output, delivered_to):
    form = plan("x.ipynb", output, {"a": 1}).notebook.form
    assert (form.saved_to, form.delivered_to) == (None, delivered_to)


def test_a_file_that_is_not_to_be_saved_meanwhile_is_delivered(folder):
    form = plan("x.ipynb", "o.ipynb", asked=PapermillOptions(request_save_on_cell_execute=False))
    assert form.notebook.form.delivered_to == str(folder / "o.ipynb")


@pytest.mark.parametrize("word", ["-", "/dev/stdout"])
def test_standard_output_is_for_the_notebook(folder, word):
    it = plan("x.ipynb", word)
    assert it.to_stdout
    assert it.notebook.form.output_path == word
    assert it.notebook.form.delivered_to is None


def test_standard_input_goes_to_standard_output_unless_told_otherwise(folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
    it = plan("-")
    assert (it.to_stdout, it.notebook.data, it.notebook.name) == (True, b"{}", "stdin")
    assert it.notebook.form.input_path == "-"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert not plan("-", output_dir=folder).to_stdout


def test_options_reach_the_node(folder, notebook):
    notebook("note.ipynb", "a = 1")
    asked = PapermillOptions(
        kernel="python3", cwd=folder, start_timeout=3.0, execution_timeout=4.0, language="python"
    )
    (node,) = plan("note.ipynb", asked=asked).flow().spec().nodes
    assert (node.code.kernel, node.code.cwd) == ("python3", str(folder))
    assert node.code.papermill.language == "python"
    assert node.policy.start_timeout_s == 3.0
    assert node.policy.timeout.cell_hard == 4.0
    assert node.policy.timeout.hard is None
    none = PapermillOptions(execution_timeout=0.0, start_timeout=0.0)
    (node,) = plan("note.ipynb", asked=none).flow().spec().nodes
    assert node.policy.timeout.cell_hard is None


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"inject_input_path": True}, ["INPUT"]),
        ({"inject_output_path": True}, ["OUTPUT"]),
        ({"inject_paths": True}, ["INPUT", "OUTPUT"]),
    ],
)
def test_injected_paths_are_papermills_and_any_parameter_wins(folder, monkeypatch, asked, names):
    seen = {}
    monkeypatch.setattr(papermill.cli, "execute_notebook", lambda **options: seen.update(options))
    words = [f"--{name.replace('_', '-')}" for name in asked]
    paths = ["in.ipynb", "{x}.ipynb", "-p", "x", "1"]
    assert CliRunner().invoke(papermill.cli.papermill, [*paths, *words]).exit_code == 0
    options = PapermillOptions(**asked)
    ours = plan("in.ipynb", "{x}.ipynb", {"x": 1}, options).params
    assert ours == seen["parameters"]
    assert set(ours) == {"x", *(f"PAPERMILL_{name}_PATH" for name in names)}
    given = {f"PAPERMILL_{name}_PATH": "mine" for name in names}
    assert plan("in.ipynb", "out.ipynb", given, options).params == given


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("x.ipynb", "o.ipynb", {}, NOTHING, "out"), click.UsageError, "OUTPUT and -o"),
        (("x.ipynb", None, {}, PapermillOptions(inject_paths=True)), click.UsageError, "OUTPUT"),
        (("x.ipynb", "."), OutputFolderError, "is a folder"),
        (("x.ipynb", "file/o.ipynb"), OutputFolderError, "is no folder that can be written"),
        (("ftp://x/y.ipynb", "o.ipynb"), Unreachable, "no io handler for ftp://"),
        (("/dev/fd/99", "o.ipynb"), click.UsageError, "/dev/fd/99 cannot be read: No such file"),
    ],
)
def test_words_that_do_not_fit_together(folder, words, error, message):
    (folder / "file").touch()
    with pytest.raises(error, match=message):
        plan(*words)


# --- flows ----------------------------------------------------------------------------------------


def test_every_option_but_progress_says_what_a_flow_has_instead():
    assert set(_OPTIONS) - set(_IN_A_FLOW) == {"progress_bar"}


@pytest.mark.parametrize("name", _IN_A_FLOW)
def test_options_for_notebooks_are_bad_usage_with_a_flow(folder, nbflow, name):
    (folder / "flow.yaml").write_text("flow: f\nnodes: {}\n")
    option = _OPTIONS[name][0][-1].partition("/")[0]
    word = [option] if _takes_no_value(name) else [option, "INFO" if name == "log_level" else "3"]
    called = nbflow("run", "flow.yaml", *word)
    assert called.code == 2
    assert f"Error: --{name.replace('_', '-')} is for a notebook. {_IN_A_FLOW[name]}" in called.err


def _takes_no_value(name):
    command = root.get_command(None, "run")
    return next(param.is_flag for param in command.params if param.name == name)


def test_output_is_for_notebooks(folder, nbflow):
    called = nbflow("run", "flow.yaml", "o.ipynb")
    assert called.code == 2
    assert "OUTPUT is for a notebook, and flow.yaml is a flow" in called.err


def test_json_and_a_notebook_do_not_share_standard_output(folder, nbflow, notebook):
    notebook("note.ipynb", "a = 1")
    called = nbflow("run", "note.ipynb", "-", "--json")
    assert (called.code, called.out) == (2, "")
    assert "both go to standard output" in called.err


def test_a_target_is_required_unless_one_is_piped(folder, nbflow):
    before = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        called = nbflow("run")
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert called.code == 2
    assert "Missing argument 'TARGET'" in called.err


def test_help_has_a_group_of_papermills_options(folder):
    shown = CliRunner().invoke(root, ["run", "--help"]).output
    own, _, theirs = shown.partition("As in papermill, for a notebook:")
    assert own.startswith("Usage: root run [OPTIONS] TARGET [OUTPUT]")
    assert "--parameters_yaml" in own
    for names, _attributes in _OPTIONS.values():
        assert names[-1].partition("/")[0] in theirs


def test_our_options_are_papermills(folder):
    """Every option of papermill's is here, with the same short name; but for those about itself."""
    ours = {opt for param in root.get_command(None, "run").params for opt in _all(param)}
    theirs = {opt for param in papermill.cli.papermill.params for opt in _all(param)}
    assert theirs - ours == {"--engine", "--version"}


def _all(param):
    return [*param.opts, *param.secondary_opts] if isinstance(param, click.Option) else []


# --- preparing and inspecting ---------------------------------------------------------------------


@pytest.fixture
def preparing(folder, notebook, monkeypatch):
    """The words that prepare one notebook, for us and for papermill; gives both results."""
    notebook("note.ipynb", "a = 1\nb: int = 2  # the second", "print(a, b)")

    def both(nbflow, *words):
        logging.getLogger("papermill").setLevel(logging.ERROR)
        done = CliRunner().invoke(
            papermill.cli.papermill, ["note.ipynb", "o.ipynb", "--prepare-only", *words]
        )
        assert done.exit_code == 0, done.output
        theirs = json.loads((folder / "o.ipynb").read_text())
        called = nbflow("run", "note.ipynb", "o.ipynb", "--prepare-only", *words)
        assert (called.code, called.out) == (0, "")
        ours = json.loads((folder / "o.ipynb").read_text())
        for book in (theirs, ours):
            nbformat.validate(nbformat.from_dict(book))
            for cell in book["cells"]:
                del cell["id"]
        return ours, theirs

    return both


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-p", "a", "5"),
        ("-p", "a", "5", "--report-mode"),
        ("-y", "{a: [1, {x: null}], b: 2.5}", "--inject-paths"),
        ("-r", "a", "x" * 10_000),
        ("-p", "a", "1", "-k", "ir", "-l", "R"),
    ],
)
def test_a_prepared_notebook_is_papermills(nbflow, preparing, words):
    ours, theirs = preparing(nbflow, *words)
    assert ours == theirs


def test_a_prepared_notebook_goes_to_standard_output_too(folder, nbflow, notebook):
    notebook("note.ipynb", "a = 1")
    called = nbflow("run", "note.ipynb", "-", "--prepare-only", "-p", "a", "2", "-p", "typo", "1")
    book = nbformat.reads(called.out, as_version=4)
    assert book.cells[1].source == "# Parameters\na = 2\ntypo = 1\n"
    assert called.err.startswith("warning: note.ipynb: node 'note': parameter 'typo'")
    called = nbflow("run", "note.ipynb", "-o", "out", "--prepare-only")
    assert (called.code, called.out) == (0, "")
    assert (folder / "out" / "note.ipynb").is_file()
    assert not (folder / ".nbflow").exists()


def test_preparing_needs_a_place_and_a_fit_notebook(folder, nbflow, notebook):
    notebook("note.ipynb", "a = 1")
    assert "name OUTPUT" in nbflow("run", "note.ipynb", "--prepare-only").err
    (folder / "bad.ipynb").write_text("{}")
    called = nbflow("run", "bad.ipynb", "o.ipynb", "--prepare-only")
    assert called.code == 2
    assert "bad.ipynb" in called.err


def test_a_device_without_room_is_told_in_words(folder, nbflow, notebook):
    notebook("note.ipynb", "a = 1")
    called = nbflow("run", "note.ipynb", "/dev/full", "--prepare-only")
    assert called.code == 2
    assert called.err == "error: /dev/full cannot be written: No space left on device\n"


def test_help_of_a_notebook_is_papermills(folder, nbflow, notebook):
    notebook("note.ipynb", "a = 1\nb: int = 2  # the second\nlonger_name: str = 'some text'  # hm")
    theirs = CliRunner().invoke(papermill.cli.papermill, ["note.ipynb", "--help-notebook"])
    called = nbflow("run", "note.ipynb", "--help-notebook")
    assert called.code == theirs.exit_code == 0
    assert called.out.splitlines()[0] == "Usage: nbflow run [OPTIONS] TARGET [OUTPUT]"
    ours = [line.split() for line in called.out.splitlines()[1:]]
    assert ours == [line.split() for line in theirs.output.splitlines()[1:]]


def test_help_of_a_notebook_without_parameters_says_so(folder, nbflow):
    nbformat.write(nbformat.v4.new_notebook(), folder / "none.ipynb")
    called = nbflow("run", "none.ipynb", "--help-notebook")
    assert called.code == 0
    assert "No cell tagged 'parameters'" in called.out


@pytest.mark.parametrize(
    ("asked", "quiet", "shown"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"log_output": True}, False, False),
        ({"log_output": True, "progress_bar": True}, False, True),
        ({"progress_bar": False}, False, False),
        ({"progress_bar": True}, True, False),
    ],
)
def test_progress_gives_way_to_the_cells_own_output(asked, quiet, shown):
    assert PapermillOptions(**asked).shows_progress(quiet=quiet) is shown
