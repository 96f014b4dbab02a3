"""``resume``, ``resolve`` and ``fork`` on the command line, with a flow of functions."""

import json
import sys

import pytest

from nbflow.core import events as ev
from nbflow.core.errors import NbflowError
from nbflow.session import attach

FLOW = """\
import nbflow

flow = nbflow.Flow("kept", params={"size": 3})

@flow.task
def load(size=flow.param("size")):
    return list(range(size))

@flow.task
def total(rows=load["result"]):
    return sum(rows)

@flow.task(effect="at_most_once")
def mail(total=total["result"]):
    return total
"""


@pytest.fixture
def kept(folder, nbflow, monkeypatch):
    """A run, `kept`, in which all has succeeded."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "flow.py").write_text(FLOW)
    assert nbflow("run", "flow.py", "--run-id", "kept", "-q", "--workers", "1").code == 0
    yield attach("kept")
    for name in [name for name in sys.modules if name.startswith("nbflow_file_")]:
        del sys.modules[name]


def scheduled(run):
    """What has begun since the run was taken up last."""
    names = []
    for record in run.events():
        if isinstance(record.event, ev.RunClaimed | ev.RunReopened):
            names = []
        if isinstance(record.event, ev.AttemptScheduled):
            names.append(record.node)
    return names


def seq(run):
    return run.events()[-1].seq


def test_a_changed_flow_is_told_resumed_decided_about_and_forked(nbflow, folder, kept) -> None:
    # Nothing has changed, and nothing happens.
    before = seq(kept)
    result = nbflow("resume", "kept", "-q")
    assert (result.code, result.err) == (0, "")
    assert "kept: succeeded" in result.out
    assert seq(kept) == before

    # What has changed is told on standard error; standard output is for results.
    (folder / "flow.py").write_text(FLOW.replace("sum(rows)", "sum(rows) + 1"))
    result = nbflow("resume", "kept", "-q", "--workers", "1", "--json")
    assert result.code == 130
    assert "warning: node total runs again: its code has changed" in result.err
    document = json.loads(result.out)
    assert document["status"] == "interrupted"
    assert document["nodes"]["total"]["outputs"]["result"]["value"] == 4
    mail = document["nodes"]["mail"]
    assert (mail["status"], mail["reason"]["kind"]) == ("in_doubt", "needs_decision")
    assert scheduled(kept) == ["total"]

    # It waits for a decision, and says so wherever one looks.
    shown = nbflow("show", "kept").out
    assert "in doubt" in shown
    assert "nbflow resolve kept mail --as succeeded" in " ".join(shown.split())
    assert "AttemptInDoubt" in nbflow("events", "kept").out

    # What nobody asked is not decided.
    before = seq(kept)
    for words, told in [
        (("total", "--as", "failed"), "'total' is succeeded, not in doubt"),
        (("nobody", "--as", "retry"), "has no node 'nobody'"),
        (("mail", "--as", "failed", "--output", "z", "3"), "it belongs to --as succeeded"),
    ]:
        result = nbflow("resolve", "kept", *words)
        assert result.code == 2
        assert told in " ".join(result.err.split())
    with pytest.raises(NbflowError, match="outputs belong to a node that succeeded"):
        kept.resolve("mail", "retry", outputs={"z": 3})
    assert seq(kept) == before

    # A decision, with which the run is complete: nothing is left to resume.
    result = nbflow("resolve", "kept", "mail", "--as", "succeeded", "--output", "result", "4")
    assert result.code == 0
    assert result.out.splitlines() == [
        "kept: mail is decided: succeeded",
        "  that was all: the run has succeeded",
    ]
    assert kept.status == "succeeded"
    assert kept["mail"].outputs["result"] == 4
    assert nbflow("resume", "kept", "-q").code == 0

    # A fork with a parameter as on the command line, and what is said of it.
    result = nbflow(
        *("fork", "kept", "-p", "size", "4", "--run-id", "larger", "-o", "out"),
        *("-q", "--workers", "1"),
    )
    assert result.code == 0
    larger = attach("larger")
    assert scheduled(larger) == ["load", "total", "mail"]
    assert larger["mail"].outputs["result"] == 7
    assert kept["load"].outputs["result"] == [0, 1, 2]


def test_wishes(nbflow, kept) -> None:
    before = seq(kept)
    for words, told in [
        (("--from", "lod"), "the run has no node 'lod'"),
        (("--only", "lod", "--force"), "the run has no node 'lod'"),
    ]:
        result = nbflow("resume", "kept", *words)
        assert result.code == 2
        assert told in result.err
        assert "It has: " in result.err
    result = nbflow("resume", "kept", "--from", "load", "--only", "total")
    assert result.code == 2
    assert "node 'load': --from cannot run it, since --only leaves it out (total)" in result.err
    result = nbflow("resume", "kept", "-q", "--only", "total")
    assert result.code == 0
    assert "warning: there is nothing to do: total is done and unchanged" in result.err
    assert seq(kept) == before

    assert nbflow("resume", "kept", "-q", "--workers", "1", "--from", "load").code == 0
    assert scheduled(kept) == ["load"]
    result = nbflow("resume", "kept", "-q", "--workers", "1", "--only", "total", "--force")
    assert result.code == 0
    assert scheduled(kept) == ["total"]
    assert "NodeReset" in nbflow("events", "kept").out


def test_a_flow_that_is_broken_now_is_refused_with_both_ways_out(nbflow, folder, kept) -> None:
    (folder / "flow.py").write_text("flow = (")
    before = seq(kept)
    for words in (("resume", "kept"), ("fork", "kept")):
        result = nbflow(*words, "-q")
        assert result.code == 2
        assert "--as-recorded" in result.err
        assert "nothing was run" in result.err
    assert seq(kept) == before
    assert nbflow("resume", "kept", "-q", "--as-recorded").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("resolve", "kept", "mail"), "Missing option '--as'"),
        (("resolve", "kept", "mail", "--as", "done"), "'done' is not one of"),
        (("resume", "absent"), "absent"),
        (("fork", "absent"), "absent"),
    ],
)
def test_bad_usage(nbflow, words, told) -> None:
    result = nbflow(*words)
    assert result.code == 2
    assert told in result.err
