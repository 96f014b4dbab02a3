"""Runs without a driver: tests say what happens, and the machine of the core makes the state."""

import threading

from nbflow.core import events as ev
from nbflow.core.attempts import Progress
from nbflow.core.commands import CancelNode, EndRun, ScheduleRetry, SkipNode
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.ids import AttemptId
from nbflow.core.machine import apply, begin, still_owed
from nbflow.core.policies import Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec, NotebookCode
from nbflow.core.states import Reason
from nbflow.core.values import FromOutput
from nbflow.core.view import RunView


def node(name, *inputs, after=(), function=False, retries=0, effect="idempotent"):
    """A node; ``"clean.table"`` in `inputs` is the output `table` of `clean`."""
    code = FunctionCode(f"flows.{name}") if function else NotebookCode(f"/nb/{name}.ipynb")
    params = {f"p{index}": FromOutput(*text.rsplit(".", 1)) for index, text in enumerate(inputs)}
    policy = Policy(retries=Retry(retries, jitter=0.0), effect=effect)
    return NodeSpec(name=name, code=code, params=params, after=tuple(after), policy=policy)


def flow(*nodes, name="sales"):
    return FlowSpec(name=name, nodes=nodes)


DIAMOND = (
    node("load"),
    node("left", "load.rows"),
    node("right", "load.rows"),
    node("join", "left.a", "right.b"),
    node("report", after=["join"]),
)


class StagedRun:
    """A run that does what it is told. `now` is its clock; each event takes `step_s`."""

    def __init__(self, *nodes, name="sales", run_id="sales-1", step_s=1.0, at=1_000.0):
        self.now = at
        self.step_s = step_s
        self.progress = {}
        self.notes = ()
        self.driven = True
        self._changed = threading.Condition()
        created = ev.RunCreated(flow(*(nodes or DIAMOND), name=name), {}, "/out")
        self.run, _ = begin(ev.Record(run_id, 1, 0, self.now, created))
        self.do(ev.RunClaimed("host:1"))

    def view(self):
        return RunView(self.run, dict(self.progress), notes=self.notes, driven=self.driven)

    def wait_changed(self, timeout_s):
        with self._changed:
            seq = self.run.seq
            return self._changed.wait_for(lambda: self.run.seq != seq, timeout_s)

    def clock(self):
        return self.now

    def do(self, *events):
        """Let events happen, and what the machine itself owes after them (skips, the end)."""
        for event in events:
            self._record(event)
        return self

    def resume(self, *names, nodes=()):
        """Reopen the run, which has ended, and let these nodes be tried again.

        `nodes` are those of another definition, if there is one.
        """
        self._apply(ev.RunReopened("host:2"))
        if nodes:
            self._apply(ev.FlowChanged(flow(*nodes, name=self.run.graph.spec.name), {}))
        return self.do(*(ev.NodeReset(name, "resumed") for name in names))

    def _record(self, event):
        for command in self._apply(event):
            owed = self._owed(command) if still_owed(self.run, command) else None
            if owed is not None:
                self._record(owed)

    def _apply(self, event):
        self.now += self.step_s
        record = ev.Record(self.run.id, self.run.seq + 1, 1, self.now, event)
        with self._changed:
            self.run, commands = apply(self.run, record)
            if isinstance(event, ev.RunClaimed | ev.RunReopened | ev.RunEnded):
                self.driven = not isinstance(event, ev.RunEnded)
            self._changed.notify_all()
        return commands

    def _owed(self, command):
        match command:
            case SkipNode(node, reason):
                return ev.NodeSkipped(node, reason)
            case CancelNode(node):
                return ev.NodeCancelled(node)
            case ScheduleRetry(node, attempt, _):
                return ev.RetryScheduled(node, attempt, self.now + self.step_s + 3.0)
            case EndRun(status):
                return ev.RunEnded(status)
            case _:
                return None

    def queue(self, name):
        return self.do(ev.AttemptScheduled(name, self.run[name].attempt + 1, Fingerprint()))

    def start(self, name, worker="tcp://127.0.0.1:9999"):
        self.queue(name)
        attempt = self.run[name].attempt
        return self.do(ev.AttemptStarted(name, attempt, worker, self.now))

    def cell(self, name, done, total, cell=None, description=""):
        run = self.run
        attempt = AttemptId(run.id, name, run[name].attempt, run.epoch)
        self.progress[name] = Progress(attempt, done, total, cell, description)
        with self._changed:
            self._changed.notify_all()
        return self

    def succeed(self, name):
        if self.run[name].state in ("ready", "waiting"):
            self.start(name)
        standing = self.run[name]
        return self.do(
            ev.AttemptSucceeded(name, standing.attempt, standing.started_at, self.now + self.step_s)
        )

    def fail(self, name, message="ValueError: bad input", *, cell=None, kind="error"):
        if self.run[name].state in ("ready", "waiting"):
            self.start(name)
        standing = self.run[name]
        return self.do(
            ev.AttemptFailed(
                name,
                standing.attempt,
                Reason(kind, message),
                started_at=standing.started_at,
                ended_at=self.now + self.step_s,
                error=ev.ErrorInfo("ValueError", message, cell),
            )
        )

    def lose(self, name, message="worker tcp://127.0.0.1:9999 is gone"):
        lost = ev.AttemptLost(name, self.run[name].attempt, Reason("worker_lost", message))
        return self.do(lost)

    def doubt(self, name, message="worker tcp://127.0.0.1:9999 is gone"):
        reason = Reason("worker_lost", message)
        return self.do(ev.AttemptInDoubt(name, self.run[name].attempt, reason))

    def keep(self, name):
        return self.do(ev.NodeKept(name))

    def retry_due(self, name):
        return self.do(ev.RetryDue(name, self.run[name].attempt))
