import base64
import math

import click
import papermill.cli
import pytest
from click.testing import CliRunner

from nbflow.cli.parameters import cast, collected

#: Whatever people may type after ``-p NAME``.
TYPED = [
    *("True", "False", "None", "true", "false", "none", "null", "yes", "~"),
    *("0", "1", "-1", "+7", "007", "1_000", " 12 ", "\t3\n", "0x10", "1e3", "1E-3", ".5", "5."),
    *("1.0", "-0.0", "inf", "-inf", "Infinity", "1,5", "1 2", "1.2.3", "12a", "--", "", " "),
    *("2026-01-01", "12:30", "[1, 2]", "{a: 1}", "'x'", "ü", "٣", "9" * 30),
]


@pytest.mark.parametrize("text", TYPED)
def test_values_are_cast_as_papermill_casts_them(text):
    theirs = papermill.cli._resolve_type(text)
    ours = cast(text)
    assert ours == theirs
    assert type(ours) is type(theirs)


def test_not_a_number_is_the_number_of_that_name():
    assert math.isnan(cast("nan"))
    assert math.isnan(papermill.cli._resolve_type("nan"))


@pytest.fixture
def papermills(monkeypatch):
    """Gives the parameters that papermill's own command line hands on."""

    def given(*words):
        seen = {}
        monkeypatch.setattr(
            papermill.cli, "execute_notebook", lambda **options: seen.update(options)
        )
        done = CliRunner().invoke(papermill.cli.papermill, ["in.ipynb", "out.ipynb", *words])
        assert done.exit_code == 0, done.output
        return seen["parameters"]

    return given


YAML = (
    "date: 2026-01-01\nat: 2026-01-01 10:00:00\nflag: yes\nnested: {list: [1, 2.5, null]}\nz: 1\n"
)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_all_options_together_give_what_papermill_gives(folder, papermills):
    (folder / "p.yaml").write_text(YAML + "b: file\ny: file\np: file\nr: file\nf: file\n")
    (folder / "p.json").write_text('{"json": [1, {"a": null}], "z": 2}')
    in_base64 = encoded("b: base64\nf: base64\ny: base64\np: base64\nr: base64\n")
    in_yaml = "{y: yaml, p: yaml, r: yaml, day: 2026-02-01}"
    ours = collected(
        encoded=[in_base64],
        files=["p.yaml", "p.json"],
        texts=[in_yaml, ""],
        pairs=[("p", "1"), ("r", "1")],
        raw=[("r", "1")],
    )
    theirs = papermills(
        *("-r", "r", "1", "-p", "p", "1", "-p", "r", "1", "-y", in_yaml, "-y", ""),
        *("-f", "p.yaml", "-f", "p.json", "-b", in_base64),
    )
    assert ours == theirs
    assert ours["date"] == "2026-01-01"
    assert [ours[name] for name in "bfypr"] == ["file", "file", "yaml", 1, "1"]


def test_the_file_named_by_a_dash_is_standard_input(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("a: 1"))
    assert collected(files=["-"]) == {"a": 1}


@pytest.mark.parametrize("text", ["", "{}", "# nothing", "null"])
def test_nothing_gives_no_parameters(text):
    assert collected(texts=[text]) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": ["a: [1"]}, "malformed YAML"),
        ({"texts": ["just text"]}, "must be a mapping"),
        ({"texts": ["[1, 2]"]}, "must be a mapping"),
        ({"texts": ["1: one"]}, "the name 1 is not text"),
        ({"encoded": ["a"]}, "base64"),
        ({"files": ["nowhere.yaml"]}, "cannot be read"),
        ({"files": ["nowhere://x.yaml"]}, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_bad_usage_that_names_the_option(folder, options, message):
    with pytest.raises(click.BadParameter, match=message) as caught:
        collected(**options)
    assert caught.value.exit_code == 2
    assert str(caught.value.param_hint).startswith("-")


def test_a_secret_is_read_in_all_but_raw_parameters():
    params = collected(pairs=[("p", "${env:TOKEN}")], raw=[("r", "${env:TOKEN}"), ("s", "$${x}")])
    assert params == {"p": "${env:TOKEN}", "r": "$${env:TOKEN}", "s": "$${x}"}
