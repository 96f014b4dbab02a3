"""The loop.

Each turn takes every stimulus that has arrived, and then, in this order:

1. *absorb*: stimuli become events; the machine says what follows;
2. *settle*: commands that are decisions (skip, schedule a retry, start) become events
   too, until nothing more follows;
3. *commit*: all of it goes into the journal in one transaction;
4. *act*: attempts are submitted or stopped, timers set; observers are told (`Effects`).

So no effect precedes its record, and stimuli that arrive while the disk is busy
share the next transaction (group commit).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.attempts import Printed
from nbflow.core.errors import ClusterError, NbflowError
from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.driver.absorbing import Absorber
from nbflow.driver.desk import Desk
from nbflow.driver.effects import Effects
from nbflow.driver.lease import Keeper
from nbflow.driver.ledger import Ledger
from nbflow.driver.recognizing import Recognition, Recognizer
from nbflow.driver.stimuli import Stimulus
from nbflow.driver.surroundings import Resumption, Surroundings
from nbflow.driver.taking_over import abandoned, take_over
from nbflow.driver.telemetry import Telemetry
from nbflow.driver.unfinished import finish_notebook

_log = logging.getLogger(__name__)

#: While the cluster has this many attempts for each that it can run at once, a turn waits a
#: moment for more reports: nobody is idle for it, and each turn does more.
BACKLOG = 3
COALESCE_S = 0.003


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
    resumption
        How a run that has begun before is to go on; None changes nothing about it.
    left
        Requests that stood in the journal before the run was claimed: an earlier driver was meant.
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
        resumption: Resumption | None = None,
        left: Collection[int] = (),
        on_change: Callable[[], None] = lambda: None,
        on_printed: Callable[[Printed], None] | None = None,
    ) -> None:
        self._name = name
        self._surroundings = surroundings
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._resumption = resumption or Resumption()
        self._left = frozenset(left)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="nbflow-writer")
        self._inbox: asyncio.Queue[Stimulus] = asyncio.Queue()
        self._desk = Desk(
            Ledger(run, epoch, surroundings.journal, clock),
            Effects(surroundings, self._writer, self.put, clock),
            surroundings,
            self._writer,
            heard=on_printed is not None,
        )
        self._absorber = Absorber(self._desk, clock, on_printed)
        self._recognizer = Recognizer(surroundings, clock)
        #: Ready nodes that are looked for elsewhere first, and those that were.
        self._unrecognized: list[str] = []
        self._recognized: dict[str, Recognition] = {}

    @property
    def run(self) -> m.Run:
        """The run as far as it is durable."""
        return self._desk.ledger.durable

    @property
    def telemetry(self) -> Telemetry:
        """What has been heard besides facts; its fields may be read from any thread."""
        return self._desk.telemetry

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
        nbflow.core.errors.ClusterError
            The cluster will run nothing any more.
        """
        desk, journal = self._desk, self._surroundings.journal
        keeper = Keeper(desk.run.id, desk.ledger.epoch, journal, self.put, self._clock)
        keeping = asyncio.create_task(keeper.keep(), name=f"nbflow-lease-{desk.run.id}")
        try:
            await self._take_over(keeper)
            while not self._is_over():
                self._absorber.absorb(await self._inbox.get())
                if desk.frontier.placed >= self._surroundings.slots * BACKLOG:
                    await asyncio.sleep(COALESCE_S)
                while not self._inbox.empty():
                    self._absorber.absorb(self._inbox.get_nowait())
                await self._turn()
            await keeper.release()
        except BaseException:
            await self._abandon(keeper)
            raise
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            desk.effects.forget_timers()
            keeper.close()
            self._writer.shutdown()
        return self.run

    async def _take_over(self, keeper: Keeper) -> None:
        """Claim the run, and settle what an earlier driver left behind."""
        desk, surroundings = self._desk, self._surroundings
        asked = keeper.take_up(await desk.effects.write(surroundings.journal.signals, desk.run.id))
        before = desk.run
        desk.unfinished += await desk.effects.write(
            take_over,
            desk.ledger,
            self._name,
            self._resumption,
            surroundings.store,
            self._recognizer,
        )
        desk.effects.to_cancel += abandoned(before, desk.unfinished)
        if self._resumption.change is not None:
            desk.set_up()
        for request in asked:
            # Between the claim and now, a cluster has had to start: those mean this driver.
            if request.signal in self._left:
                self._absorber.absorb_left(request)
            else:
                self._absorber.absorb(request)
        await self._turn()

    # --- settling -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Perform every command that is a decision, and so becomes an event itself."""
        self._decide()
        while self._unrecognized and not self._desk.stopping:
            names, self._unrecognized = self._unrecognized, []
            run = self._desk.run
            for each in await self._desk.effects.write(self._recognizer.look, run, names):
                self._place(each)
            self._decide()

    def _decide(self) -> None:
        while True:
            while (command := self._desk.ledger.next_command()) is not None:
                self._perform(command)
            if self._desk.stopping or not self._admit():
                return

    def _perform(self, command: m.Command) -> None:
        match command:
            case m.StartAttempt(node):
                self._recognize(node)
            case m.SkipNode(node, reason):
                self._desk.ledger.record(ev.NodeSkipped(node, reason))
            case m.CancelNode(node):
                self._desk.frontier.withdraw(node)
                self._desk.ledger.record(ev.NodeCancelled(node))
            case m.CancelAttempt(node, attempt):
                self._desk.effects.to_cancel.append(self._desk.attempt(node, attempt))
            case m.ScheduleRetry(node, attempt, failures):
                retries = self._desk.run.graph.nodes[node].policy.retries
                due_at = self._clock() + retries.delay_s(failures, self._rng)
                self._desk.ledger.record(ev.RetryScheduled(node, attempt, due_at))
            case m.WaitForRetry():
                self._desk.effects.to_wait.append(command)
            case m.EndRun(status):
                self._desk.ledger.record(ev.RunEnded(status))

    def _recognize(self, name: str) -> None:
        run = self._desk.run
        if self._recognizer.must_look(run, name):
            self._unrecognized.append(name)
        else:
            self._place(self._recognizer.at_once(run, name))

    def _place(self, found: Recognition) -> None:
        """Record what takes the place of a node's attempt, or let the node wait for its place."""
        name = found.node
        node = self._desk.run[name]
        if node.state is not NodeState.READY:
            return  # It was cancelled while it was being looked for.
        if found.instead is not None:
            self._desk.ledger.record(found.instead)
            return
        self._recognized[name] = found
        cargo = self._desk.tasks.cargo(self._desk.run, name)
        self._desk.frontier.offer(name, suspect=node.losses > 0, cargo=cargo)

    def _admit(self) -> bool:
        """Schedule every node for which there is a place; False if there was none."""
        admitted = self._desk.frontier.admit()
        for name in admitted:
            attempt = self._desk.attempt(name, self._desk.run[name].attempt + 1)
            made_of = self._recognized.pop(name).fingerprint
            self._desk.ledger.record(ev.AttemptScheduled(name, attempt.number, made_of))
            problem = self._desk.tasks.prepare(self._desk.run, attempt)
            if problem is None:
                self._desk.effects.to_submit.append(attempt)
            else:
                self._desk.frontier.release(name)
                self._desk.ledger.record(problem)
        return bool(admitted)

    # --- committing and acting ----------------------------------------------------------------

    async def _turn(self) -> None:
        desk = self._desk
        if not desk.gone:
            # What the cluster has lost by its end, the next driver looks for.
            await self._absorber.find_missing()
        await self._settle()
        # Bytes that arrived with outcomes go first: a success is recorded only when its
        # artifacts are durable.
        await desk.tasks.store_received()
        for each in desk.unfinished:
            await desk.effects.write(finish_notebook, desk.run, each, self._clock())
        desk.unfinished.clear()
        if desk.ledger.has_pending:
            await desk.effects.write(desk.ledger.commit)
        if desk.gone and desk.run.status not in RUN_ENDED:
            raise ClusterError(desk.gone)
        await desk.effects.happen(desk.run, desk.ledger.epoch, desk.tasks)
        if not desk.stopping and desk.only_people_can_help():
            desk.stopping = "nodes are in doubt: it waits for a decision"
        self._on_change()

    def _is_over(self) -> bool:
        run = self._desk.run
        if run.status in RUN_ENDED:
            return True
        return bool(self._desk.stopping) and not self._desk.in_flight()

    async def _abandon(self, keeper: Keeper) -> None:
        """Let go of a run that cannot be recorded any more; its next driver finds out the rest.

        Whatever broke the driver may break this too. Then the lease runs out by itself,
        and the error to tell is the first one.
        """
        stop = partial(self._surroundings.cluster.cancel, self._desk.in_flight())
        for step in (stop, keeper.release):
            try:
                await step()
            except (NbflowError, OSError) as error:
                _log.warning("run %s was not let go in good order: %s", self._desk.run.id, error)
