"""The diagnosis of a run: facts are gathered here, and judged in `nbflow.core.diagnosis`.

What costs more than a look (what earlier runs took, and what that lets expect of thousands of
nodes) is kept with the handle, as long as it is good: a panel asks about once a second.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from nbflow.core.diagnosis import Facts, with_logs
from nbflow.core.diagnosis import diagnose as judged
from nbflow.core.expecting import Expectation, Sample, expect, sizes_of
from nbflow.core.findings import Diagnosis, FindingKind
from nbflow.core.run import Run, resolve_params
from nbflow.core.states import NodeState
from nbflow.core.values import NotText, Value
from nbflow.core.view import RunView
from nbflow.drawing.diagnosis import DrawnDiagnosis
from nbflow.drawing.words import one_line
from nbflow.ports import Journal
from nbflow.session.history import History
from nbflow.session.log_files import LogLine
from nbflow.session.watching import home_option

#: Last lines of a node that a finding has, and characters of each.
_LINES, _LINE_LENGTH = 10, 200

#: How long what earlier runs took counts as known, in seconds: they end, and are removed.
_HISTORY_S = 30.0


class Seen(Protocol):
    """What is needed of a run's handle to diagnose it."""

    @property
    def home(self) -> Path:
        """The folder of its home."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def log_lines(self, node: str, last: int = 50) -> tuple[LogLine, ...]:
        """Return the last lines that a node has printed."""


class Expectations:
    """What is expected of the nodes of one run.

    Parameters
    ----------
    folder, journal
        The home's folder, and its journal.
    run
        The run's id.
    """

    def __init__(self, folder: Path, journal: Journal, run: str) -> None:
        self._folder = folder
        self._journal = journal
        self._run = run
        self._samples: Mapping[str, tuple[Sample, ...]] = {}
        self._read_at: float | None = None
        #: What was expected last, by what it rests on.
        self._expected: dict[str, tuple[object, Expectation | None]] = {}

    def of(self, run: Run, factor: float | None, now: float) -> dict[str, Expectation]:
        """Return what is expected of each node, where anything is known.

        Parameters
        ----------
        run
            The run as it stands.
        factor
            A node counts as stuck beyond so many times that; None is its own, or 2.
        now
            Seconds since the epoch.
        """
        if self._read_at is None or not 0 <= now - self._read_at < _HISTORY_S:
            history = History(self._folder, self._journal, run.graph.spec.name)
            self._samples = history.samples(without=self._run, now=now)
            self._read_at = now
        found = ((name, self._expectation(run, name, factor)) for name in run.graph.nodes)
        return {name: expectation for name, expectation in found if expectation is not None}

    def _expectation(self, run: Run, name: str, factor: float | None) -> Expectation | None:
        samples = self._samples.get(name, ())
        declared = run.graph.nodes[name].policy.expected
        if not samples and declared is None:
            return None
        node = run[name]
        code = node.fingerprint.code if node.fingerprint is not None else ""
        code = code or run.graph.nodes[name].identity.code
        # What a node receives is known once nothing is missing, and does not change within a try.
        is_known = node.state is not NodeState.WAITING
        rests_on = (samples, declared, factor, code, is_known, node.attempt)
        before = self._expected.get(name)
        if before is not None and before[0] == rests_on:
            return before[1]
        sizes = sizes_of(_received(run, name)) if is_known else {}
        expectation = expect(declared, samples, sizes=sizes, code=code, factor=factor)
        self._expected[name] = (rests_on, expectation)
        return expectation


def diagnose(
    run: Seen,
    expectations: Expectations,
    *,
    stuck_after: float | None = None,
    now: float | None = None,
) -> DrawnDiagnosis:
    """Say what is wrong with a run, if anything; see `SeenRun.diagnose`.

    Parameters
    ----------
    run
        The run's handle.
    expectations
        What is expected of its nodes; kept from one diagnosis to the next.
    stuck_after
        A node counts as stuck beyond so many times what is expected of it.
    now
        Seconds since the epoch; None is this moment.
    """
    view = run.view()
    at = time.time() if now is None else now
    facts = Facts(
        view=view,
        now=at,
        expected=expectations.of(view.run, stuck_after, at),
        home_option=home_option(run.home),
    )
    return DrawnDiagnosis.of(_with_logs(run, judged(facts)))


def _with_logs(run: Seen, diagnosis: Diagnosis) -> Diagnosis:
    """Add what the nodes with findings have printed last."""
    # What waits in a queue has printed nothing.
    silent = {FindingKind.QUEUED, FindingKind.NO_WORKER, FindingKind.WAITING_FOR_POOL}
    nodes = {it.node for it in diagnosis.findings if it.node and it.kind not in silent}
    logs = {node: [_shown(line.text) for line in run.log_lines(node, _LINES)] for node in nodes}
    return with_logs(diagnosis, logs)


def _shown(text: str) -> str:
    return one_line(text, _LINE_LENGTH)


def _received(run: Run, name: str) -> Mapping[str, Value]:
    try:
        return resolve_params(run, name)
    except (KeyError, NotText):
        return {}
