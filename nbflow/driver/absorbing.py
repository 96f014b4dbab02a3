"""Absorbing: what has arrived becomes events.

Reports of attempts that are no longer current are ignored: an older epoch's,
or those of an attempt that has been given up. They are the past speaking.
"""

import logging
from collections.abc import Callable

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.attempts import (
    Checkpointed,
    ClusterGone,
    Ended,
    Lost,
    Outcome,
    Printed,
    Progress,
    Sampled,
    Started,
    WorkerNote,
    Workers,
)
from nbflow.core.caching import uncacheable
from nbflow.core.decisions import Decision, undecidable
from nbflow.core.decisions import event_of as event_of_decision
from nbflow.core.ids import AttemptId
from nbflow.core.results import result_of
from nbflow.core.stacks import Stack
from nbflow.core.states import NodeState, Reason, RunStatus
from nbflow.core.values import Artifact
from nbflow.driver.desk import Desk
from nbflow.driver.outcomes import event_of, found_outcome
from nbflow.driver.stimuli import (
    CancelAsked,
    Decided,
    LeaseLost,
    RetryTimer,
    Stimulus,
    StopAsked,
    StopOverdue,
)
from nbflow.driver.unfinished import Unfinished

_log = logging.getLogger(__name__)


class Absorber:
    """Turns stimuli into events.

    Parameters
    ----------
    desk
        Where they are recorded.
    clock
        Seconds since the epoch.
    on_printed
        Receives what cells print, in order; None if nobody listens.
    """

    def __init__(
        self,
        desk: Desk,
        clock: Callable[[], float],
        on_printed: Callable[[Printed], None] | None,
    ) -> None:
        self._desk = desk
        self._clock = clock
        self._on_printed = on_printed

    def absorb(self, stimulus: Stimulus) -> None:
        """Take in one stimulus.

        Raises
        ------
        nbflow.core.errors.NbflowError
            If it says that this driver cannot go on.
        """
        match stimulus:
            case Started() | Checkpointed() | Ended() | Lost():
                self._absorb_report(stimulus)
            case Progress() | Printed() | Sampled() | Stack():
                self._absorb_telemetry(stimulus)
            case Workers() | WorkerNote():
                self._desk.telemetry.note(stimulus)
            case ClusterGone(message):
                # Outcomes that have come with this news are recorded before the drive ends.
                self._desk.gone = self._desk.stopping = message
            case RetryTimer(node, attempt):
                self._desk.effects.timer_fired(node)
                current = self._desk.run[node]
                if current.state is NodeState.BACKING_OFF and current.attempt == attempt:
                    self._desk.ledger.record(ev.RetryDue(node, attempt))
            case CancelAsked() | Decided() | StopAsked() | StopOverdue():
                self._absorb_request(stimulus)
            case LeaseLost(error):
                raise error

    async def find_missing(self) -> None:
        """Settle what became of attempts that the cluster has lost: some have left a receipt."""
        missing, self._desk.missing = self._desk.missing, {}
        for attempt, lost in missing.items():
            if not self._desk.is_current(attempt):
                continue
            outcome = await self._desk.effects.write(
                found_outcome, self._desk.run, attempt.node, self._desk.store
            )
            if outcome is None:
                self._attempt_lost(lost)
            else:
                self._ended(outcome)

    def absorb_left(self, request: CancelAsked | Decided) -> None:
        """Take in what was asked of an earlier driver, which ended before it heard of it.

        Whoever resumes a run means more than whoever wanted to cancel it then.
        """
        if isinstance(request, CancelAsked):
            self._desk.effects.consumed += [] if request.signal is None else [request.signal]
        else:
            self._absorb_request(request)

    def _absorb_request(self, request: CancelAsked | Decided | StopAsked | StopOverdue) -> None:
        signal = getattr(request, "signal", None)
        if signal is not None:
            self._desk.effects.consumed.append(signal)
        match request:
            case CancelAsked(by):
                if self._desk.run.status is RunStatus.RUNNING:
                    self._desk.ledger.record(ev.CancelRequested(by))
            case Decided(decision):
                self._decided(decision)
            case StopAsked(why):
                if not self._desk.stopping:
                    self._desk.stopping = why
                    self._desk.effects.to_cancel.extend(self._desk.in_flight())
            case StopOverdue(attempts):
                for attempt in attempts:
                    if self._desk.is_current(attempt):
                        self._attempt_stopped(attempt, None)

    def _decided(self, decision: Decision) -> None:
        run = self._desk.run
        if why := undecidable(run, decision):
            _log.warning("run %s: %s decided in vain: %s", run.id, decision.by, why)
        else:
            self._desk.ledger.record(event_of_decision(run, decision, self._clock()))

    def _absorb_telemetry(self, report: Progress | Printed | Sampled | Stack) -> None:
        if not self._desk.is_current(report.id):
            return
        self._desk.telemetry.hear(report)
        if isinstance(report, Printed) and self._on_printed is not None:
            self._on_printed(report)

    def _absorb_report(self, report: Started | Checkpointed | Ended | Lost) -> None:
        attempt = report.outcome.id if isinstance(report, Ended) else report.id
        if not self._desk.is_current(attempt):
            return
        match report:
            case Started():
                self._attempt_started(report)
            case Checkpointed(checkpoint=checkpoint):
                if self._desk.run[attempt.node].state is NodeState.RUNNING:
                    self._desk.tasks.received_checkpoint(report)
                    stored = ev.CheckpointStored(attempt.node, attempt.number, checkpoint)
                    self._desk.ledger.record(stored)
            case Ended(outcome):
                self._attempt_ended(outcome)
            case Lost():
                self._desk.missing[attempt] = report

    def _attempt_started(self, report: Started) -> None:
        node = self._desk.run[report.id.node]
        self._desk.frontier.begun(report.id.node)
        if node.state is NodeState.QUEUED:
            self._desk.ledger.record(
                ev.AttemptStarted(
                    report.id.node, report.id.number, report.worker, report.started_at
                )
            )
            return
        # Dask moved the task to another worker after the first one died. An attempt
        # starts once; what runs there now is stopped, and a new attempt takes its place.
        self._desk.effects.to_cancel.append(report.id)
        message = f"worker {node.worker} was lost while the node ran on it"
        self._desk.missing[report.id] = Lost(report.id, message)

    def _attempt_ended(self, outcome: Outcome) -> None:
        if outcome.status == "stopped":
            self._attempt_stopped(outcome.id, outcome.notebook, outcome.reason)
        else:
            self._ended(outcome)
        self._desk.tasks.received(outcome)

    def _ended(self, outcome: Outcome) -> None:
        self._over(outcome.id.node)
        self._desk.ledger.record(event_of(outcome))
        node = self._desk.run.graph.nodes[outcome.id.node]
        if node.policy.cache is not None and not uncacheable(node, self._desk.run.params):
            result = result_of(self._desk.run, node.name)
            self._desk.effects.to_keep += [] if result is None else [result]

    def _attempt_lost(self, lost: Lost) -> None:
        name = lost.id.node
        self._over(name)
        event = m.after_loss(self._desk.run, name, lost.message, lost.kind)
        self._desk.unfinished.append(Unfinished(event, self._desk.telemetry.progress.get(name)))
        self._desk.ledger.record(event)

    def _attempt_stopped(
        self, attempt: AttemptId, notebook: Artifact | None, told: Reason | None = None
    ) -> None:
        self._over(attempt.node)
        queued = self._desk.run[attempt.node].state is NodeState.QUEUED
        unbegun = told if told and told.kind == "not_begun" and queued else None
        if unbegun is not None and self._desk.is_at_most_once(attempt.node):
            # Nobody has to decide about it, now or after a cancellation: nothing of it has run.
            self._desk.ledger.record(ev.AttemptLost(attempt.node, attempt.number, unbegun))
            return
        if self._desk.run.status is RunStatus.CANCELLING:
            self._desk.ledger.record(ev.NodeCancelled(attempt.node, attempt.number, notebook))
            return
        reason = Reason("interrupted", self._desk.stopping or "its worker stopped it")
        if self._desk.is_at_most_once(attempt.node):
            self._desk.ledger.record(ev.AttemptInDoubt(attempt.node, attempt.number, reason))
        else:
            self._desk.ledger.record(ev.AttemptLost(attempt.node, attempt.number, reason, notebook))

    def _over(self, node: str) -> None:
        """Make room for others where the attempt had its own."""
        self._desk.telemetry.attempt_over(node)
        self._desk.frontier.release(node)
