"""The loop.

Each turn takes every stimulus that has arrived, and then, in this order:

1. *absorb*: stimuli become events; the machine says what follows;
2. *settle*: commands that are decisions (skip, schedule a retry, start) become events
   too, until nothing more follows;
3. *commit*: all of it goes into the journal in one transaction;
4. *act*: attempts are submitted or stopped, timers set; observers are told.

So no effect precedes its record, and stimuli that arrive while the disk is busy
share the next transaction (group commit).

Reports of attempts that are no longer current are ignored: an older epoch's,
or those of an attempt that has been given up. They are the past speaking.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rpds import HashTrieMap

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.attempts import (
    ClusterGone,
    Ended,
    Lost,
    Outcome,
    Printed,
    Progress,
    Started,
    WorkerNote,
)
from nbflow.core.errors import ClusterError, NbflowError
from nbflow.core.frontier import Frontier
from nbflow.core.ids import AttemptId
from nbflow.core.states import IN_FLIGHT, RUN_ENDED, NodeState, Reason, RunStatus
from nbflow.core.values import Artifact
from nbflow.driver.lease import Keeper
from nbflow.driver.ledger import Ledger
from nbflow.driver.outcomes import doubts_settled, event_of
from nbflow.driver.stimuli import (
    CancelAsked,
    LeaseLost,
    RetryTimer,
    Stimulus,
    StopAsked,
    StopOverdue,
)
from nbflow.driver.surroundings import Surroundings
from nbflow.driver.tasks import TaskMaker
from nbflow.driver.unfinished import Unfinished, finish_notebook

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

#: While the cluster has this many attempts for each that it can run at once, a turn waits a
#: moment for more reports: nobody is idle for it, and each turn does more.
BACKLOG = 3
COALESCE_S = 0.003

#: How long attempts that were asked to stop may take to say goodbye, in seconds.
STOP_GRACE_S = 15.0


class Driver:
    """Owns one run from its claim to its end.

    Parameters
    ----------
    run
        The run's state as the journal has it.
    epoch
        The fence that `Journal.claim` gave.
    name
        Who this driver is (``host:pid:…``), for the journal.
    surroundings
        The ports.
    clock
        Seconds since the epoch.
    rng
        Jitter of retries.
    on_change
        Called in the loop's thread after each turn that observers could see.
    on_printed
        Called in the loop's thread with what cells print, in order; None if nobody listens.
    """

    def __init__(
        self,
        *,
        run: m.Run,
        epoch: int,
        name: str,
        surroundings: Surroundings,
        clock: Callable[[], float],
        rng: random.Random,
        on_change: Callable[[], None] = lambda: None,
        on_printed: Callable[[Printed], None] | None = None,
    ) -> None:
        self._name = name
        self._journal = surroundings.journal
        self._store = surroundings.store
        self._cluster = surroundings.cluster
        self._slots = surroundings.slots
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._on_printed = on_printed
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="nbflow-writer")
        self._ledger = Ledger(run, epoch, self._journal, clock)
        self._frontier = Frontier(run.graph)
        self._tasks = TaskMaker(
            self._store,
            self._writer,
            run=run,
            shares_store=surroundings.shares_store,
            heard=on_printed is not None,
        )
        #: Losses whose notebooks still read as running.
        self._unfinished: list[Unfinished] = []
        self._inbox: asyncio.Queue[Stimulus] = asyncio.Queue()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        #: Why this driver lets go of the run; empty while it does not.
        self._stopping = ""
        self._consumed: list[int] = []
        # Effects that wait for the commit of this turn.
        self._to_submit: list[AttemptId] = []
        self._to_cancel: list[AttemptId] = []
        self._to_wait: list[m.WaitForRetry] = []
        #: Telemetry: the latest cell progress of each node.
        self.progress: HashTrieMap[str, Progress] = HashTrieMap()
        self.notes: tuple[str, ...] = ()

    @property
    def run(self) -> m.Run:
        """The run as far as it is durable."""
        return self._ledger.durable

    def put(self, stimulus: Stimulus) -> None:
        """Hand a stimulus to the loop. Only from the loop's own thread."""
        self._inbox.put_nowait(stimulus)

    async def drive(self) -> m.Run:
        """Drive the run until it has ended, or until asked to let go.

        Returns
        -------
        Run
            The final state; still ``running`` if the driver was stopped.

        Raises
        ------
        nbflow.core.errors.LostLease
            Another driver has taken over.
        nbflow.core.errors.JournalError
            The journal cannot be written; what it holds is intact.
        """
        run, epoch = self._ledger.run, self._ledger.epoch
        keeper = Keeper(run.id, epoch, self._journal, self._writer, self.put, self._clock)
        keeping = asyncio.create_task(keeper.keep(), name=f"nbflow-lease-{run.id}")
        try:
            await self._take_over()
            while not self._is_over():
                self._absorb(await self._inbox.get())
                if self._frontier.placed >= self._slots * BACKLOG:
                    await asyncio.sleep(COALESCE_S)
                while not self._inbox.empty():
                    self._absorb(self._inbox.get_nowait())
                await self._turn()
            await self._write(self._journal.release, run.id, epoch)
        except BaseException:
            await self._abandon()
            raise
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            for timer in self._timers.values():
                timer.cancel()
            self._writer.shutdown()
        return self.run

    # --- taking over --------------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Claim the run, and settle what an earlier driver left in doubt."""
        # Whoever resumes a run means more than whoever wanted to cancel its last driver.
        signals = await self._write(self._journal.signals, self._ledger.run.id)
        self._consumed.extend(signal.id for signal in signals)
        ended = self._ledger.run.status in RUN_ENDED | {RunStatus.CANCELLING}
        claim = ev.RunReopened(self._name) if ended else ev.RunClaimed(self._name)
        self._ledger.record(claim)
        self._reset_unfinished()
        await self._resolve_doubts()
        await self._turn()

    def _reset_unfinished(self) -> None:
        """Give every node that failed, was cancelled, or was skipped for that, a new chance."""
        run = self._ledger.run
        for name in run.graph.topological_order():
            node = run.nodes[name]
            if m.retry_owed(run, name, node) or node.state not in _TRIED_AGAIN:
                continue
            self._ledger.record(ev.NodeReset(name, f"resumed: it was {node.state}"))

    async def _resolve_doubts(self) -> None:
        """Find out what became of attempts that an earlier driver had with its cluster."""
        for event in await self._write(doubts_settled, self._ledger.run, self._store):
            self._ledger.record(event)
            if isinstance(event, ev.AttemptLost):
                self._unfinished.append(Unfinished(event))

    # --- absorbing ----------------------------------------------------------------------------

    def _absorb(self, stimulus: Stimulus) -> None:
        match stimulus:
            case Started() | Ended() | Lost():
                self._absorb_report(stimulus)
            case Progress() | Printed() | WorkerNote():
                self._absorb_telemetry(stimulus)
            case ClusterGone(message):
                raise ClusterError(message)
            case RetryTimer(node, attempt):
                self._timers.pop(node, None)
                current = self._ledger.run[node]
                if current.state is NodeState.BACKING_OFF and current.attempt == attempt:
                    self._ledger.record(ev.RetryDue(node, attempt))
            case CancelAsked() | StopAsked() | StopOverdue():
                self._absorb_request(stimulus)
            case LeaseLost(error):
                raise error

    def _absorb_request(self, request: CancelAsked | StopAsked | StopOverdue) -> None:
        match request:
            case CancelAsked(by, signal):
                if signal is not None:
                    self._consumed.append(signal)
                if self._ledger.run.status is RunStatus.RUNNING:
                    self._ledger.record(ev.CancelRequested(by))
            case StopAsked(why):
                if not self._stopping:
                    self._stopping = why
                    self._to_cancel.extend(self._in_flight())
            case StopOverdue(attempts):
                for attempt in attempts:
                    if self._is_current(attempt):
                        self._attempt_stopped(attempt, None)

    def _absorb_telemetry(self, report: Progress | Printed | WorkerNote) -> None:
        match report:
            case WorkerNote(message):
                self.notes = (*self.notes, message)
            case Progress(id=attempt):
                if self._is_current(attempt):
                    self.progress = self.progress.insert(attempt.node, report)
            case Printed(id=attempt):
                if self._on_printed is not None and self._is_current(attempt):
                    self._on_printed(report)

    def _absorb_report(self, report: Started | Ended | Lost) -> None:
        match report:
            case Started(id=attempt):
                if self._is_current(attempt):
                    self._attempt_started(report)
            case Ended(outcome):
                if self._is_current(outcome.id):
                    self._attempt_ended(outcome)
            case Lost(id=attempt, message=message):
                if self._is_current(attempt):
                    self._attempt_lost(attempt, message)

    def _is_current(self, attempt: AttemptId) -> bool:
        node = self._ledger.run.nodes.get(attempt.node)
        return (
            node is not None
            and attempt.epoch == self._ledger.epoch
            and attempt.number == node.attempt
            and node.state in IN_FLIGHT
        )

    def _attempt_started(self, report: Started) -> None:
        node = self._ledger.run[report.id.node]
        if node.state is NodeState.QUEUED:
            self._ledger.record(
                ev.AttemptStarted(
                    report.id.node, report.id.number, report.worker, report.started_at
                )
            )
            return
        # Dask moved the task to another worker after the first one died. An attempt
        # starts once; what runs there now is stopped, and a new attempt takes its place.
        self._to_cancel.append(report.id)
        self._attempt_lost(report.id, f"worker {node.worker} was lost while the node ran on it")

    def _attempt_ended(self, outcome: Outcome) -> None:
        if outcome.status == "stopped":
            self._attempt_stopped(outcome.id, outcome.notebook)
            self._tasks.received(outcome)
            return
        self._frontier.release(outcome.id.node)
        self._tasks.received(outcome)
        self._ledger.record(event_of(outcome))

    def _attempt_lost(self, attempt: AttemptId, message: str) -> None:
        self._frontier.release(attempt.node)
        event = m.after_loss(self._ledger.run, attempt.node, message)
        self._unfinished.append(Unfinished(event, self.progress.get(attempt.node)))
        self._ledger.record(event)

    def _attempt_stopped(self, attempt: AttemptId, notebook: Artifact | None) -> None:
        self._frontier.release(attempt.node)
        if self._ledger.run.status is RunStatus.CANCELLING:
            self._ledger.record(ev.NodeCancelled(attempt.node, attempt.number, notebook))
        else:
            reason = Reason("interrupted", self._stopping or "its worker stopped it")
            self._ledger.record(ev.AttemptLost(attempt.node, attempt.number, reason, notebook))

    # --- settling -----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Perform every command that is a decision, and so becomes an event itself."""
        while True:
            while (command := self._ledger.next_command()) is not None:
                self._perform(command)
            if self._stopping or not self._admit():
                return

    def _perform(self, command: m.Command) -> None:
        match command:
            case m.StartAttempt(node):
                self._frontier.offer(node, suspect=self._ledger.run[node].losses > 0)
            case m.SkipNode(node, reason):
                self._ledger.record(ev.NodeSkipped(node, reason))
            case m.CancelNode(node):
                self._frontier.withdraw(node)
                self._ledger.record(ev.NodeCancelled(node))
            case m.CancelAttempt(node, attempt):
                self._to_cancel.append(self._id(node, attempt))
            case m.ScheduleRetry(node, attempt, failures):
                retries = self._ledger.run.graph.nodes[node].policy.retries
                due_at = self._clock() + retries.delay_s(failures, self._rng)
                self._ledger.record(ev.RetryScheduled(node, attempt, due_at))
            case m.WaitForRetry():
                self._to_wait.append(command)
            case m.EndRun(status):
                self._ledger.record(ev.RunEnded(status))

    def _admit(self) -> bool:
        """Schedule every node for which there is a place; False if there was none."""
        admitted = self._frontier.admit()
        for name in admitted:
            attempt = self._id(name, self._ledger.run[name].attempt + 1)
            self._ledger.record(ev.AttemptScheduled(name, attempt.number))
            problem = self._tasks.prepare(self._ledger.run, attempt)
            if problem is None:
                self._to_submit.append(attempt)
            else:
                self._frontier.release(name)
                self._ledger.record(problem)
        return bool(admitted)

    def _id(self, node: str, attempt: int) -> AttemptId:
        return AttemptId(self._ledger.run.id, node, attempt, self._ledger.epoch)

    # --- committing and acting ----------------------------------------------------------------

    async def _turn(self) -> None:
        self._settle()
        # Bytes that arrived with outcomes go first: a success is recorded only when its
        # artifacts are durable.
        await self._tasks.store_received()
        for each in self._unfinished:
            await self._write(finish_notebook, self._ledger.run, each, self._clock())
        self._unfinished.clear()
        if self._ledger.has_pending:
            await self._write(self._ledger.commit)
        await self._act()
        self._on_change()

    async def _act(self) -> None:
        loop = asyncio.get_running_loop()
        if self._to_submit:
            attempts, self._to_submit = self._to_submit, []
            await self._cluster.submit(await self._tasks.take(attempts))
        if self._to_cancel:
            attempts, self._to_cancel = self._to_cancel, []
            loop.call_later(STOP_GRACE_S, self.put, StopOverdue(tuple(attempts)))
            await self._cluster.cancel(attempts)
        for wait in self._to_wait:
            delay_s = max(0.0, wait.due_at - self._clock())
            timer = loop.call_later(delay_s, self.put, RetryTimer(wait.node, wait.attempt))
            self._timers[wait.node] = timer
        self._to_wait.clear()
        for signal in self._consumed:
            run, epoch = self._ledger.run.id, self._ledger.epoch
            await self._write(self._journal.consume, run, epoch, signal)
        self._consumed.clear()

    def _in_flight(self) -> list[AttemptId]:
        run = self._ledger.run
        return [
            self._id(name, node.attempt)
            for name, node in run.nodes.items()
            if node.state in IN_FLIGHT
        ]

    def _is_over(self) -> bool:
        run = self._ledger.run
        if run.status in RUN_ENDED:
            return True
        return bool(self._stopping) and not self._in_flight()

    async def _abandon(self) -> None:
        """Let go of a run that cannot be recorded any more; its next driver finds out the rest.

        Whatever broke the driver may break this too. Then the lease runs out by itself,
        and the error to tell is the first one.
        """
        try:
            await self._cluster.cancel(self._in_flight())
            await self._write(self._journal.release, self._ledger.run.id, self._ledger.epoch)
        except (NbflowError, OSError) as error:
            _log.warning("run %s was not let go in good order: %s", self._ledger.run.id, error)

    async def _write(self, call: Callable[..., _T], *args: object) -> _T:
        """Run a blocking call of a port in the writing thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, call, *args)


_TRIED_AGAIN = frozenset({NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED})
