"""What a resume, a decision or a fork will do, known and said before anything is started."""

import pickle
import sys
import warnings
from contextlib import contextmanager

import nbformat
import pytest
from msgspec.structs import replace

import nbflow
from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.decisions import Decision
from nbflow.core.errors import ArtifactError, DefinitionError, NbflowError, RunHeld
from nbflow.core.making import fingerprint_of
from nbflow.core.resuming import Wish
from nbflow.core.states import RunStatus
from nbflow.core.values import Inline
from nbflow.core.view import RunView
from nbflow.definition.input_files import FileMemo, input_digest
from nbflow.driver import Resumption
from nbflow.driver.ledger import Ledger
from nbflow.session import launching
from nbflow.session.continuing import Again, decide, plan_resume, stored_values
from nbflow.session.home import Home
from nbflow.session.resuming import foreseen
from nbflow.session.run import Run

FLOW = """\
import nbflow
{head}
FOLDER = __file__.rpartition("/")[0]
flow = nbflow.Flow("kept", params={{"date": "{date}", "size": 1}}, base_dir=FOLDER)

@flow.task
def load(date=flow.param("date")):
    return {load}

@flow.task(inputs=["data.csv"])
def clean(rows=load["result"]):
    return rows

@flow.task(after=["{after}"])
def {report}(size=flow.param("size")):
    return size
{tail}
"""


class Kept:
    """A home, a flow in a file, and a run of it in which all has succeeded; no cluster."""

    def __init__(self, folder, home):
        self.folder = folder
        self.home = home
        self.file = folder / "flow.py"
        (folder / "data.csv").write_text("1")
        self.write()

    def write(self, *, head="", date="monday", load="len(date)", report="report", tail="", **parts):
        parts = {"after": "clean", **parts}
        text = FLOW.format(head=head, date=date, load=load, report=report, tail=tail, **parts)
        self.file.write_text(text)

    def create(self, flow=None, **given):
        prepared = (flow or nbflow.load(self.file)).prepare(given)
        for data in prepared.blobs.values():
            self.home.store.put(data, "pickle")
        folder = self.home.runs_folder("kept")
        created = ev.RunCreated(
            prepared.spec, dict(prepared.params), str(folder), given=prepared.given
        )
        self.home.journal.create("kept", created, flow="kept", at=1.0)
        return self

    def tell(self, *events):
        """Record what a driver has recorded that has ended since."""
        with self._driving() as ledger:
            for event in events:
                ledger.record(event)
        return self

    @contextmanager
    def _driving(self):
        epoch = self.home.journal.claim("kept", "gone:1:0", now=1.0, ttl_s=30)
        ledger = Ledger(self.run, epoch, self.home.journal, lambda: 1.0)
        ledger.record(ev.RunClaimed("gone:1:0"))
        yield ledger
        ledger.commit()
        self.home.journal.release("kept", epoch)

    def succeed(self):
        """Let all nodes succeed, and the run end."""
        with self._driving() as ledger:
            for name in ledger.run.graph.topological_order():
                inputs = ledger.run.graph.nodes[name].identity.inputs
                made_of = fingerprint_of(ledger.run, name, input_digest(inputs, FileMemo()).digest)
                ledger.record(ev.AttemptScheduled(name, 1, made_of))
                ledger.record(ev.AttemptSucceeded(name, 1, 1.0, 2.0, {"result": Inline(6)}))
            ledger.record(ev.RunEnded(RunStatus.SUCCEEDED))
        return self

    @property
    def run(self):
        return machine.replay(self.home.journal.read("kept"))

    def plan(self, **again):
        """Return what a resume would do, and what it says."""
        seq = self.run.seq
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            resumption, plan = plan_resume(self.home, self.run, Again(**again))
        assert self.run.seq == seq, "nothing is recorded yet"
        return resumption, plan, [str(warning.message) for warning in said]

    def resets(self, **again):
        return {reset.node: reset.kind for reset in self.plan(**again)[1].resets}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    home = Home.open(tmp_path / ".nbflow")
    yield Kept(tmp_path, home)
    home.close()
    for name in [name for name in sys.modules if name.startswith(("nbflow_file_", "helper_of_"))]:
        del sys.modules[name]


def test_nothing_has_changed_and_nothing_is_said(kept) -> None:
    kept.create().succeed()
    resumption, plan, said = kept.plan()
    assert resumption.change is None
    assert plan.nothing
    assert (plan.resets, plan.changes, said) == ((), (), [])


def test_where_nothing_is_to_be_done_no_cluster_is_started(kept, monkeypatch) -> None:
    kept.create().succeed()
    monkeypatch.delattr(launching, "resume")
    run = Run("kept", kept.home).resume(progress=False)
    assert run.status is RunStatus.SUCCEEDED


def test_another_source_of_a_function(kept) -> None:
    kept.create().succeed()
    kept.write(load="len(date) + 1")
    resumption, plan, said = kept.plan()
    assert {reset.node: reset.kind for reset in plan.resets} == {
        "load": "code",
        "clean": "upstream",
        "report": "upstream",
    }
    assert not plan.nothing
    assert said == [
        "since this run was recorded, the code of nbflow_file_flow.load has changed (node 'load')",
        "node load runs again: its code has changed",
    ]
    (code,) = (node.code for node in resumption.change.flow.nodes if node.name == "load")
    assert kept.home.store.exists(code.digest), "a driver, and its workers, find it there"


def test_a_module_beside_the_flow(kept) -> None:
    (kept.folder / "helper_of_kept.py").write_text("factor = 1\n")
    kept.write(head="import helper_of_kept", load="len(date) * helper_of_kept.factor")
    kept.create().succeed()
    assert kept.resets() == {}
    (kept.folder / "helper_of_kept.py").write_text("factor = 1000\n")
    resumption, plan, said = kept.plan()
    assert plan.resets[0] == ev.NodeReset(
        "load", "a local module that it imports has changed", "code"
    )
    assert "node load runs again: a local module that it imports has changed" in said
    load = pickle.loads(kept.home.store.get(resumption.change.flow.nodes[0].code.digest))
    assert load("monday") == 6000, "it is the new one that runs, in this very process too"


def test_a_file_that_a_node_is_declared_to_read(kept) -> None:
    kept.create().succeed()
    (kept.folder / "data.csv").write_text("2")
    _, plan, said = kept.plan()
    assert plan.resets[0] == ev.NodeReset(
        "clean", "a file that it is declared to read has changed", "file"
    )
    assert said == ["node clean runs again: a file that it is declared to read has changed"]


def test_a_default_of_a_parameter_and_one_that_was_given(kept) -> None:
    kept.create(size=5).succeed()
    kept.write(date="tuesday")
    resumption, plan, said = kept.plan()
    assert plan.resets[0].kind == "parameter"
    assert resumption.change.params == {"date": Inline("tuesday"), "size": Inline(5)}
    assert any("date has another value" in sentence for sentence in said)


def test_nodes_that_come_and_go(kept) -> None:
    kept.create().succeed()
    kept.write(report="summary", tail="@flow.task\ndef more(x=summary['result']):\n    return x")
    _, plan, said = kept.plan()
    assert plan.resets == ()
    assert not plan.nothing
    assert said == [
        "since this run was recorded, nodes more, summary were added",
        "since this run was recorded, node 'report' was removed",
    ]


def test_a_flow_that_cannot_be_read_any_more_is_refused_with_both_ways_out(kept) -> None:
    kept.create().succeed()
    kept.file.write_text("flow = (")
    with pytest.raises(DefinitionError) as refused:
        kept.plan()
    *faults, hint = refused.value.problems
    assert any("flow.py, line 1" in str(fault) for fault in faults)
    assert "Mend it, or go on with what was recorded: --as-recorded" in str(hint)
    assert kept.plan(as_recorded=True)[1].nothing


def test_a_flow_that_is_unfit_now_is_refused(kept) -> None:
    kept.create().succeed()
    kept.write(after="nobody")
    with pytest.raises(DefinitionError, match="nobody"):
        kept.plan()


def test_what_was_recorded_is_not_looked_at_again(kept) -> None:
    kept.create().succeed()
    kept.write(load="0")
    resumption, plan, said = kept.plan(as_recorded=True)
    assert (resumption.change, plan.nothing, said) == (None, True, [])


def test_a_policy_alone_runs_nothing_and_is_said(kept) -> None:
    kept.create().succeed()
    text = kept.file.read_text()
    kept.file.write_text(text.replace("@flow.task\n", "@flow.task(retries=3)\n", 1))
    resumption, plan, said = kept.plan()
    assert resumption.change is not None
    assert plan.nothing
    (sentence,) = said
    assert "policies of node 'load' have changed, which by itself runs nothing again" in sentence


def test_a_flow_made_by_calls_is_taken_as_it_is_given(kept) -> None:
    def made(answer):
        flow = nbflow.Flow("kept", base_dir=kept.folder)
        flow.task(answer, name="load")
        return flow

    kept.create(made(lambda: 1)).succeed()
    assert kept.plan()[1].nothing, "its functions cannot be read again, and stay"
    assert kept.resets(flow=made(lambda: 2)) == {"load": "code"}


# --- wishes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "kinds"),
    [
        (Wish(begin_at=("clean",)), {"clean": "forced", "report": "upstream"}),
        (Wish(begin_at=("clean",), force=True), {"clean": "forced", "report": "forced"}),
        (Wish(only=("clean",), force=True), {"clean": "forced"}),
        (Wish(only=("clean",)), {}),
    ],
)
def test_wishes(kept, wish, kinds) -> None:
    kept.create().succeed()
    resets = {reset.node: reset.kind for reset in kept.plan(wish=wish)[1].resets}
    assert resets == kinds


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish(begin_at=("clan",)), "the run has no node 'clan'. It has: "),
        (Wish(only=("nobody", "clean")), "no node 'nobody'"),
        (Wish(only=("clean",)), "cannot run alone: it needs load, which is ready. Name load too"),
        (
            Wish(begin_at=("load", "report"), only=("load",)),
            "node 'report': --from cannot run it, since --only leaves it out (load). Name it by",
        ),
    ],
)
def test_wishes_that_cannot_be_granted(kept, wish, told) -> None:
    kept.create()
    with pytest.raises(DefinitionError) as refused:
        kept.plan(wish=wish)
    assert told in str(refused.value)


def test_a_node_alone_may_bring_the_one_that_it_needs(kept) -> None:
    kept.create()
    assert not kept.plan(wish=Wish(only=("clean", "load")))[1].nothing


def test_a_node_may_be_begun_at_and_be_the_only_one(kept) -> None:
    kept.create().succeed()
    assert kept.resets(wish=Wish(begin_at=("clean",), only=("clean",))) == {"clean": "forced"}


def cancelled(kept):
    """The run, cancelled after `load` had succeeded."""
    kept.create()
    made_of = fingerprint_of(kept.run, "load", "")
    return kept.tell(
        ev.AttemptScheduled("load", 1, made_of),
        ev.AttemptSucceeded("load", 1, 1.0, 2.0, {"result": Inline(6)}),
        ev.CancelRequested("ann"),
        ev.NodeCancelled("clean"),
        ev.NodeCancelled("report"),
        ev.RunEnded(RunStatus.CANCELLED),
    )


def test_a_cancelled_run_stays_so_where_the_only_node_is_done(kept, monkeypatch) -> None:
    cancelled(kept)
    _, plan, said = kept.plan(wish=Wish(only=("load",)))
    assert plan.nothing
    assert said == [
        "there is nothing to do: load is done and unchanged, and the run stays cancelled"
    ]
    monkeypatch.delattr(launching, "resume")
    seq = kept.run.seq
    run = Run("kept", kept.home)
    with pytest.warns(UserWarning, match="nothing to do"):
        run.resume(only=["load"], wait=False)
    assert (run.status, kept.run.seq) == (RunStatus.CANCELLED, seq)


def test_a_cancelled_run_goes_on_with_what_is_not_done(kept) -> None:
    cancelled(kept)
    assert not kept.plan()[1].nothing
    assert kept.resets(wish=Wish(only=("clean",))) == {"clean": "resumed"}


def test_a_cancelled_run_is_opened_again_where_all_that_was_not_done_is_gone(kept) -> None:
    cancelled(kept)
    rest = nbflow.load(kept.file).prepare({}).spec
    alone = replace(rest, nodes=tuple(node for node in rest.nodes if node.name == "load"))
    change = ev.FlowChanged(alone, kept.run.params)
    plan = foreseen(kept.run, Resumption(change, Wish()), {})
    assert plan.resets == ()
    assert not plan.nothing, "it succeeds now"


# --- decisions ------------------------------------------------------------------------------------


def doubtful(kept, *, driven=False):
    """The run with `load` in doubt, as it is seen."""
    flow = nbflow.load(kept.file)
    kept.create(flow)
    spec = kept.run.graph.spec
    nodes = tuple(
        replace(node, policy=replace(node.policy, effect="at_most_once"))
        if node.name == "load"
        else node
        for node in spec.nodes
    )
    kept.tell(
        ev.FlowChanged(replace(spec, nodes=nodes), kept.run.params),
        ev.AttemptScheduled("load", 1),
    )
    return RunView(kept.run, driven=driven)


def test_a_decision_for_a_run_that_nobody_drives_is_recorded(kept) -> None:
    view = doubtful(kept)
    decide(kept.home, view, Decision("load", "succeeded", "ann", {"result": Inline(3)}))
    assert kept.run["load"].outputs == {"result": Inline(3)}
    assert kept.home.journal.row("kept").holder == ""


def test_a_decision_for_a_run_that_somebody_drives_waits_for_him(kept) -> None:
    view = doubtful(kept)
    decide_later = Decision("load", "retry", "ann")
    kept.tell(ev.AttemptInDoubt("load", 1, ev.Reason("worker_lost", "gone")))
    decide(kept.home, RunView(kept.run, driven=True), decide_later)
    (signal,) = kept.home.journal.signals("kept")
    assert (signal.kind, signal.by) == ("decide", "ann")
    assert view.run["load"].state == "queued"
    assert kept.run["load"].state == "in_doubt"


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        (Decision("nobody", "failed", "ann"), "has no node 'nobody'"),
        (Decision("clean", "failed", "ann"), "'clean' is waiting, not in doubt"),
        (Decision("report", "retry", "ann"), "there is nothing to decide"),
    ],
)
def test_where_there_is_nothing_to_decide_nothing_is_written(kept, decision, told) -> None:
    view = doubtful(kept)
    seq = kept.run.seq
    with pytest.raises(NbflowError, match=told):
        decide(kept.home, view, decision)
    assert kept.run.seq == seq


def test_what_may_simply_run_again_is_not_decided(kept) -> None:
    kept.create().tell(ev.AttemptScheduled("load", 1))
    seq = kept.run.seq
    with pytest.raises(NbflowError, match="'load' is queued, not in doubt"):
        decide(kept.home, RunView(kept.run, driven=False), Decision("load", "failed", "ann"))
    assert kept.run.seq == seq


def test_a_decision_for_a_run_that_is_held_by_somebody_who_does_not_drive_it(kept) -> None:
    view = doubtful(kept)
    kept.home.journal.claim("kept", "elsewhere:1:0", now=launching.time.time(), ttl_s=30)
    with pytest.raises(RunHeld):
        decide(kept.home, view, Decision("load", "failed", "ann"))


def test_who_cannot_decide_or_cancel_after_all_keeps_nobody_from_the_run(kept, monkeypatch) -> None:
    view = doubtful(kept)

    def unreachable(attempt):
        raise ArtifactError("the store cannot be reached")

    monkeypatch.setattr(kept.home.store, "get_receipt", unreachable)
    with pytest.raises(ArtifactError):
        decide(kept.home, view, Decision("load", "failed", "ann"))
    assert kept.home.journal.row("kept").holder == ""
    with pytest.raises(ArtifactError):
        Run("kept", kept.home).cancel()
    assert kept.home.journal.row("kept").holder == ""


def test_outputs_of_a_decision_are_stored_as_those_of_a_node(kept) -> None:
    values = stored_values(kept.home.store, {"small": [1], "large": list(range(50_000))})
    assert values["small"] == Inline([1])
    assert kept.home.store.exists(values["large"].digest)


def test_an_output_that_cannot_be_stored_is_refused(kept) -> None:
    with pytest.raises(NbflowError, match="cannot be stored"):
        stored_values(kept.home.store, {"lock": sys.stderr})


# --- notebooks ------------------------------------------------------------------------------------


def test_a_notebook_that_is_gone_runs_as_recorded_and_that_is_said(kept) -> None:
    note = kept.folder / "note.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), note)
    flow = nbflow.Flow("kept", base_dir=kept.folder)
    flow.notebook("note.ipynb", kernel="python3")
    kept.create(flow).succeed()
    note.unlink()
    _, plan, said = kept.plan()
    assert plan.nothing
    (sentence,) = said
    assert "note.ipynb is no longer there, and runs as it was recorded" in sentence
    note.write_text("{")
    with pytest.raises(DefinitionError, match=r"note\.ipynb"):
        kept.plan()
