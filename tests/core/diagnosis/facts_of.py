"""Made-up facts: one node ``a`` (and whoever else is named), in any state, seen in any way."""

from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.attempts import Progress, WorkerState
from nbflow.core.diagnosis import Facts, diagnose
from nbflow.core.expecting import expect
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Expected, Limits, Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.stacks import Stack, StackFrame, ThreadStack
from nbflow.core.states import Reason
from nbflow.core.usage import Doing, Usage
from nbflow.core.values import FromOutput
from nbflow.core.view import RunView

#: When everything began, in seconds since the epoch.
T0 = 1_000_000.0
WORKER = "tcp://10.0.0.1:1"


def node(name, *wants, after=(), retries=0, **policy):
    params = {f"p{index}": FromOutput(source, "x") for index, source in enumerate(wants)}
    retry = Retry(retries, jitter=0.0, backoff=60.0)
    return NodeSpec(
        name=name,
        code=FunctionCode(f"m.{name}"),
        params=params,
        after=after,
        policy=Policy(retries=retry, **policy),
    )


def worker(address=WORKER, **fields):
    return WorkerState(address=address, **{"threads": 2, "memory_limit_bytes": 10**9, **fields})


def frame(text, *, file="/tmp/ipykernel_1/2.py", line=7, function="<module>", cell=3):
    return StackFrame(file, line, function, cell, text)


def library(function, file, text=""):
    return StackFrame(file, 300, function, None, text)


def thread(*frames, call="futex", timed=False, **fields):
    return ThreadStack(tuple(frames), call=call, timed=timed, **fields)


class Scene:
    """A run of which anything can be said. Each event takes no time; `after` seconds pass."""

    def __init__(self, *nodes, limits=None):
        spec = FlowSpec(name="f", nodes=nodes or (node("a"),), limits=limits or Limits())
        created = ev.RunCreated(spec, {}, "/out")
        self.now = T0
        self.run, _ = machine.begin(ev.Record("r", 1, 0, T0, created))
        self.tell(ev.RunClaimed("host:1"))
        self.usage, self.stacks, self.progress = {}, {}, {}
        self.workers = (worker(),)
        self.driven = True

    def tell(self, *events):
        for event in events:
            record = ev.Record("r", self.run.seq + 1, 1, self.now, event)
            self.run, _ = machine.apply(self.run, record)
        return self

    def after(self, seconds):
        self.now += seconds
        return self

    def queue(self, name="a"):
        return self.tell(ev.AttemptScheduled(name, self.run[name].attempt + 1, Fingerprint()))

    def start(self, name="a"):
        self.queue(name)
        return self.tell(ev.AttemptStarted(name, self.run[name].attempt, WORKER, self.now))

    def succeed(self, name="a", took_s=1.0, outputs=None):
        if self.run[name].state != "running":
            self.start(name)
        began = self.run[name].started_at
        return self.tell(
            ev.AttemptSucceeded(name, self.run[name].attempt, began, began + took_s, outputs or {})
        )

    def fail(self, name="a", kind="error", **fields):
        self.start(name)
        began = self.run[name].started_at
        reason = Reason(kind, "ValueError: no rows")
        return self.tell(
            ev.AttemptFailed(
                name,
                self.run[name].attempt,
                reason,
                started_at=began,
                ended_at=began + 5.0,
                **fields,
            )
        )

    def end(self, status):
        return self.tell(ev.RunEnded(status))

    def does(self, name="a", *, cpu=0.0, samples=5, processes=1, memory=10**8, **doing):
        """Let the node have been seen so for a while."""
        usage = [
            Usage(
                at=self.now - index,
                cpu_percent=cpu,
                memory_bytes=memory,
                processes=processes,
                threads=4,
                doing=Doing(**doing),
            )
            for index in reversed(range(samples))
        ]
        self.usage[name] = tuple(usage)
        return self

    def uses(self, name="a", **fields):
        """Change what its latest samples say."""
        self.usage[name] = tuple(replace(usage, **fields) for usage in self.usage[name])
        return self

    def stands(self, *threads, name="a", age_s=1.0, problem=""):
        """Let its stack have been taken; the first thread runs the cell."""
        main, *others = threads
        attempt = AttemptId("r", name, self.run[name].attempt, 1)
        together = (replace(main, main=True), *others)
        self.stacks[name] = Stack(attempt, self.now - age_s, together, problem=problem)
        return self

    def gets_on(self, done, total, name="a", cell=3):
        attempt = AttemptId("r", name, self.run[name].attempt, 1)
        self.progress[name] = Progress(attempt, done, total, cell)
        return self

    def facts(self, **fields):
        view = RunView(
            self.run,
            progress=self.progress,
            usage=self.usage,
            stacks=self.stacks,
            workers=self.workers,
            driven=self.driven,
        )
        declared = {
            name: expect(spec.policy.expected, (), sizes={}, code="")
            for name, spec in self.run.graph.nodes.items()
            if spec.policy.expected is not None
        }
        return Facts(**{"view": view, "now": self.now, "expected": declared, **fields})

    def diagnosis(self, **fields):
        return diagnose(self.facts(**fields))

    def findings(self, name=None):
        found = self.diagnosis().findings
        return [it for it in found if name is None or it.node == name]

    def kinds(self, name=None):
        return [str(it.kind) for it in self.findings(name)]


def running(seconds=5.0, *, expected=None, **policy):
    """A scene in which the node ``a`` has run for so long."""
    if expected is not None:
        policy["expected"] = Expected(expected)
    return Scene(node("a", **policy)).start().after(seconds)
