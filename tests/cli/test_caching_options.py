"""``nbflow run --cache``, and what ``run`` and ``show`` tell of results of earlier runs."""

import json

import pytest

FLOW = """\
import nbflow

flow = nbflow.Flow("words")


@flow.task
def text():
    return "abc" * 5000


@flow.task(cache=False)
def length(of=text["result"]):
    return len(of)
"""


@pytest.fixture
def words(folder):
    (folder / "words.py").write_text(FLOW)
    return "words.py"


def cache_line(out):
    (line,) = [line for line in out.splitlines() if line.startswith("cache: ")]
    return line


def test_a_run_is_asked_for_a_cache(nbflow, words):
    plain = nbflow("run", words, "-q", "--run-id", "plain", "--workers", "1")
    assert plain.code == 0
    assert "cache" not in plain.out
    first = nbflow("run", "--cache", words, "-q", "--run-id", "first", "--workers", "1")
    assert cache_line(first.out) == "cache: 0 hits, 1 miss"
    # A bare option takes no word for its value, and a time belongs to it by its equals sign.
    second = nbflow("run", words, "-q", "--cache=7d", "--run-id", "second", "--workers", "1")
    assert cache_line(second.out).startswith("cache: 1 hit, 0 misses; ")
    assert cache_line(second.out).endswith("s saved, 15 kB reused")

    shown = nbflow("show", "second").out
    assert cache_line(shown) == cache_line(second.out)
    lines = [line.strip() for line in shown.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.endswith("skipped"))
    assert lines[at + 1].startswith("run first has done the same in ")

    document = json.loads(nbflow("show", "second", "--json").out)
    assert document["nodes"]["text"]["cached"]
    assert not document["nodes"]["length"]["cached"]
    assert document["cache"]["bytes"] > 15_000
    assert "cache" not in json.loads(nbflow("show", "plain", "--json").out)

    none = nbflow("run", words, "-q", "--no-cache", "--json", "--workers", "1")
    assert json.loads(none.out)["nodes"]["text"]["status"] == "succeeded"


@pytest.mark.parametrize(
    ("words_of_it", "message"),
    [
        (("--cache", "--no-cache"), "--cache and --no-cache exclude each other"),
        (("--cache=soon",), "cache must be a number of seconds above 0, or a duration"),
        (("--cache=0",), "cache must be a number of seconds above 0"),
        (("--cache=",), "cache must be a number of seconds above 0"),
    ],
)
def test_what_is_no_cache_is_refused(nbflow, words, words_of_it, message):
    called = nbflow("run", words, "-q", *words_of_it)
    assert called.code == 2
    assert message in " ".join(called.err.split())


def test_a_check_warns_of_what_can_have_no_cache(nbflow, folder, notebook):
    notebook("a.ipynb", "x = 1", "import importlib\nimportlib.import_module(str(x))")
    (folder / "flow.yaml").write_text(
        "flow: f\nnodes:\n  a:\n    notebook: a.ipynb\n    cache: 7d\n"
    )
    called = nbflow("check", "flow.yaml")
    assert called.code == 0
    told = " ".join(called.out.split())
    assert "warning" in told
    assert "flow.yaml:5: node 'a': it asks for a cache, but cell 1, line 2, imports a " in told
