"""Results of earlier runs that stand for those of later ones, as a user meets them."""

import random
import warnings

import nbformat
import pandas as pd
import pytest

import nbflow
from nbflow.core.reuse import CacheStatistics
from nbflow.session.home import Home
from nbflow.session.housekeeping import Limits, clean

ONE_WORKER = nbflow.Embedded(workers=1, threads=2)
DAY_S = 86_400


@pytest.fixture
def sales(tmp_path, notebook):
    """Make a flow of notebooks whose results are kept: ``rows`` -> ``table`` -> ``report``."""
    notebook("rows.ipynb", "rows = [1, 2, factor]", parameters="factor = 3")
    notebook(
        "table.ipynb",
        "import pandas as pd\ntable = pd.DataFrame({'x': rows})",
        parameters="rows = []",
    )
    notebook("report.ipynb", "print(table.x.sum())", parameters="table = None")

    def make(cache=True):
        flow = nbflow.Flow("sales", {"factor": 3}, defaults={"cache": cache}, base_dir=tmp_path)
        rows = flow.notebook("rows.ipynb", {"factor": flow.param("factor")}, outputs=["rows"])
        table = flow.notebook("table.ipynb", {"rows": rows["rows"]})
        flow.notebook("report.ipynb", {"table": table["table"]})
        return flow

    return make


@pytest.fixture
def words(tmp_path):
    """Make a flow of two functions: ``text``, without a word about a cache, -> ``length``."""

    def make(cached=None, **options):
        flow = nbflow.Flow("words", base_dir=tmp_path, **options)

        @flow.task
        def text():
            return "abc"

        @flow.task(cache=cached)
        def length(of=text["result"]):
            return len(of)

        return flow

    return make


def went(flow, **options):
    return flow.run(cluster=ONE_WORKER, progress=False, **options)


def ran(run):
    """Return the nodes of which there was an attempt."""
    return [name for name in run if run[name].attempts]


def stored_file(folder, digest):
    (file,) = (folder / ".nbflow" / "artifacts").rglob(digest.removeprefix("sha256:"))
    return file


def test_a_flow_that_has_run_runs_nothing_again(sales, tmp_path):
    first = went(sales())
    second = went(sales(), output_dir=tmp_path / "out")

    assert (ran(first), ran(second)) == (["rows", "table", "report"], [])
    assert second.status == "succeeded"
    assert second["rows"].outputs["rows"] == [1, 2, 3]
    table = pd.DataFrame({"x": [1, 2, 3]})
    pd.testing.assert_frame_equal(second["table"].outputs["table"], table)
    assert second["report"].logs.endswith("6\n")
    for name in second:
        assert (second[name].status, second[name].reason.kind) == ("skipped", "cached")
        assert f"run {first.id} has done the same in " in second[name].reason.message
        assert [record.type for record in second[name].story] == ["NodeCached"]
        path = tmp_path / "out" / f"{name}.ipynb"
        assert second[name].notebook_path == path
        assert path.read_bytes() == first[name].notebook_bytes == second[name].notebook_bytes
    assert_spared_all(second, first)


def assert_spared_all(run, source):
    """Assert that `run` tells that it has taken all of `source`."""
    assert source.cache_statistics == CacheStatistics(hits=0, misses=3)
    told = run.cache_statistics
    assert (told.hits, told.misses) == (3, 0)
    notebooks = sum(len(run[name].notebook_bytes) for name in run)
    assert told.size_bytes == notebooks + run.view().run["table"].outputs["table"].size_bytes

    before, after = source.document(), run.document()
    assert before["cache"] == {"hits": 0, "misses": 3, "bytes": 0, "seconds_saved": 0.0}
    assert not any(node["cached"] for node in before["nodes"].values())
    took_s = sum(node["duration_s"] for node in before["nodes"].values())
    assert after["cache"].pop("seconds_saved") == pytest.approx(took_s, abs=0.01)
    assert after["cache"] == {"hits": 3, "misses": 0, "bytes": told.size_bytes}
    for name, node in after["nodes"].items():
        assert node["cached"]
        assert (node["status"], node["attempts"], node["duration_s"]) == ("skipped", 0, None)
        assert node["notebook"] == str(run.output_dir / f"{name}.ipynb")
        assert node["outputs"] == before["nodes"][name]["outputs"]


def test_only_what_has_changed_and_what_receives_something_else_runs(sales, notebook, tmp_path):
    went(sales())
    # The same rows, made in another way: whoever receives them is not concerned.
    notebook("rows.ipynb", "rows = [1, 2] + [factor]", parameters="factor = 3")
    assert ran(went(sales())) == ["rows"]

    notebook("report.ipynb", "print('sum', table.x.sum())", parameters="table = None")
    assert ran(went(sales())) == ["report"]

    other = went(sales(), factor=4)
    assert ran(other) == ["rows", "table", "report"]
    assert other["rows"].outputs["rows"] == [1, 2, 4]

    # Texts and outputs are no part of what a notebook is.
    edited = nbformat.read(tmp_path / "report.ipynb", as_version=4)
    edited.cells.insert(0, nbformat.v4.new_markdown_cell("# Sales"))
    edited.cells[-1].outputs = [nbformat.v4.new_output("stream", text="from another day")]
    nbformat.write(edited, tmp_path / "report.ipynb")
    assert ran(went(sales())) == []


def test_a_result_is_good_for_its_time_alone(words):
    moment = {"cache": {"ttl": 0.001, "jitter": 0}}
    assert ran(went(words(defaults={"cache": "1h"}))) == ["text", "length"]
    assert ran(went(words(defaults={"cache": "1h"}))) == []
    assert ran(went(words(defaults=moment))) == ["text", "length"]


def test_a_result_of_which_something_is_gone_or_damaged_is_made_again(sales, tmp_path):
    first = went(sales())
    stored_file(tmp_path, first.view().run["table"].outputs["table"].digest).unlink()
    second = went(sales())
    assert ran(second) == ["table"]
    assert list(second["table"].outputs["table"].x) == [1, 2, 3]
    assert (second.cache_statistics.hits, second.cache_statistics.misses) == (2, 1)

    executed = stored_file(tmp_path, first.view().run["report"].notebook.digest)
    executed.chmod(0o600)
    executed.write_bytes(b"damaged")
    assert ran(went(sales())) == ["report"]
    assert ran(went(sales())) == []


def test_a_local_module_that_has_changed_is_another_notebook(tmp_path, notebook):
    notebook("a.ipynb", "import rules\nx = 21 * rules.FACTOR")

    def again(factor):
        (tmp_path / "rules.py").write_text(f"FACTOR = {factor}\n")
        flow = nbflow.Flow("local", base_dir=tmp_path)
        flow.notebook("a.ipynb", outputs=["x"], cache=True)
        return went(flow)

    assert ran(again(2)) == ["a"]
    assert ran(again(2)) == []
    changed = again(3)
    assert (ran(changed), changed["a"].outputs["x"]) == (["a"], 63)


def test_a_declared_file_that_has_changed_is_another_node(tmp_path):
    def again(text):
        (tmp_path / "in.txt").write_text(text)
        flow = nbflow.Flow("files", base_dir=tmp_path)

        @flow.task(inputs=["in.txt"], cache=True, params={"path": tmp_path / "in.txt"})
        def content(path):
            return path.read_text()

        return went(flow)

    assert ran(again("one")) == ["content"]
    assert ran(again("one")) == []
    changed = again("two")
    assert (ran(changed), changed["content"].outputs["result"]) == (["content"], "two")


def test_what_cannot_be_told_apart_runs_each_time_and_says_so(tmp_path):
    dice = random.Random(7)

    def again():
        flow = nbflow.Flow("loud", base_dir=tmp_path)

        @flow.task(cache=True)
        def thrown():
            return dice.random()

        return flow

    (problem,) = again().check()
    assert (problem.severity, problem.node) == ("warning", "thrown")
    assert problem.what.startswith("it asks for a cache, but the variable 'dice' of ")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = [went(again()) for _ in range(2)]
    assert [str(it.message) for it in caught] == [str(problem)] * 2
    assert [ran(run) for run in runs] == [["thrown"]] * 2
    assert runs[1].cache_statistics == CacheStatistics(hits=0, misses=1)
    assert list(runs[1]._home.store.entries("cache")) == []


def test_what_receives_a_secret_runs_each_time_and_says_so(tmp_path, monkeypatch):
    def again():
        flow = nbflow.Flow("hidden", {"token": None}, base_dir=tmp_path)

        @flow.task(cache=True, params={"token": flow.param("token")})
        def masked(token):
            return len(token)

        return flow

    lengths = []
    for secret in ("four", "seventeen"):
        monkeypatch.setenv("HIDDEN_TOKEN", secret)
        with pytest.warns(UserWarning, match="asks for a cache, but it receives a secret"):
            run = went(again(), token=nbflow.Secret("env:HIDDEN_TOKEN"))
        lengths.append(run["masked"].outputs["result"])
    assert lengths == [4, 9]


def test_a_run_is_asked_for_a_cache_or_for_none(words):
    assert ran(went(words(), cache=True)) == ["text", "length"]
    assert ran(went(words())) == ["text", "length"]
    asked = went(words(), cache="7d")
    assert ran(asked) == []
    assert asked.view().run.graph.spec.cache == nbflow.Cache(ttl=7 * DAY_S)
    # A node's own word counts more than that of the run, unless the run wants none at all.
    assert ran(went(words(cached=False), cache=True)) == ["length"]
    assert ran(went(words(cached=True), cache=False)) == ["text", "length"]

    with pytest.raises(nbflow.DefinitionError, match="cache must be a number of seconds above 0"):
        words().start(cache="soon")


def test_what_a_run_was_asked_for_counts_when_it_is_resumed_and_forked(tmp_path):
    ready = tmp_path / "ready"
    (tmp_path / "late.py").write_text(
        "import pathlib\nimport nbflow\n"
        f"flow = nbflow.Flow('late', base_dir={str(tmp_path)!r})\n"
        "@flow.task\n"
        "def one():\n    return 1\n"
        "@flow.task\n"
        "def two(x=one['result']):\n"
        f"    assert pathlib.Path({str(ready)!r}).exists()\n    return x + 1\n"
    )
    target = f"{tmp_path}/late.py:flow"
    with pytest.raises(nbflow.RunFailed) as failed:
        went(nbflow.load(target), cache=True)
    ready.touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = failed.value.run.resume(cluster=ONE_WORKER, progress=False)
        assert run["two"].outputs["result"] == 2
        # What the resumed run has made is kept, too.
        assert ran(went(nbflow.load(target), cache=True)) == []
        forked = run.fork(cluster=ONE_WORKER, progress=False)
    assert forked.view().run.graph.spec.cache == nbflow.Cache()
    assert ran(forked) == []


def test_what_somebody_wants_to_see_run_again_does(words):
    run = went(words(), cache=True)
    run.resume(cluster=ONE_WORKER, progress=False, force=True)
    assert {name: run[name].attempts for name in run} == {"text": 2, "length": 2}


def test_a_fork_takes_what_it_shares_with_its_source_and_needs_no_cache(sales):
    source = went(sales(cache=False))
    assert "cache" not in source.document()
    forked = source.fork(factor=4, cluster=ONE_WORKER, progress=False)
    assert ran(forked) == ["rows", "table", "report"]

    same = source.fork(cluster=ONE_WORKER, progress=False)
    assert ran(same) == []
    assert same.document()["cache"]["hits"] == 3
    assert same["report"].reason.message.startswith(f"run {source.id} has done the same")
    assert same["report"].notebook_path.read_bytes() == source["report"].notebook_bytes


def test_a_result_outlives_its_run(sales, tmp_path):
    first = went(sales())
    first.close()
    home = Home.open(tmp_path / ".nbflow")
    later = first.view().run.ended_at + 30 * DAY_S
    cleaning = clean(home, Limits(keep_runs=0), now=later)
    home.close()
    assert [removal.name for removal in cleaning.of("run")] == [first.id]

    second = went(sales())
    assert ran(second) == []
    assert list(second["table"].outputs["table"].x) == [1, 2, 3]
