"""The desk: what the parts of one driver have in common.

All of it is touched in the loop's thread alone. The definition of the flow can change when a run is
taken over; `set_up` then makes anew what belongs to one definition.
"""

from concurrent.futures import ThreadPoolExecutor

from nbflow.core import machine as m
from nbflow.core.attempts import Lost
from nbflow.core.frontier import Frontier
from nbflow.core.ids import AttemptId
from nbflow.core.states import IN_FLIGHT, NodeState
from nbflow.driver.effects import Effects
from nbflow.driver.ledger import Ledger
from nbflow.driver.surroundings import Surroundings
from nbflow.driver.tasks import TaskMaker
from nbflow.driver.telemetry import Telemetry
from nbflow.driver.unfinished import Unfinished


class Desk:
    """What one driver works on.

    Parameters
    ----------
    ledger
        The run, and what is to be committed.
    effects
        What is to be done after that.
    surroundings
        The ports.
    writer
        The driver's single writing thread.
    heard
        Whether somebody listens to what cells print.
    """

    def __init__(
        self,
        ledger: Ledger,
        effects: Effects,
        surroundings: Surroundings,
        writer: ThreadPoolExecutor,
        *,
        heard: bool,
    ) -> None:
        self.ledger = ledger
        self.effects = effects
        self.store = surroundings.store
        self._writer = writer
        self._shares_store = surroundings.shares_store
        self._heard = heard
        self._traceparent = surroundings.traceparent
        self.set_up()
        #: Attempts that the cluster has lost, with what it says: their receipts are looked for.
        self.missing: dict[AttemptId, Lost] = {}
        #: Losses whose notebooks still read as running.
        self.unfinished: list[Unfinished] = []
        #: Why this driver lets go of the run; empty while it does not.
        self.stopping = ""
        #: Why the cluster will run nothing any more; empty while it does.
        self.gone = ""
        self.telemetry = Telemetry()

    def set_up(self) -> None:
        """Make what belongs to one definition of the flow."""
        self.frontier = Frontier(self.run.graph)
        self.tasks = TaskMaker(
            self.store,
            self._writer,
            run=self.run,
            shares_store=self._shares_store,
            heard=self._heard,
            traceparent=self._traceparent,
        )

    @property
    def run(self) -> m.Run:
        """The run with all that has been recorded, durable or not."""
        return self.ledger.run

    def is_current(self, attempt: AttemptId) -> bool:
        """Whether `attempt` is this driver's, and is with the cluster."""
        node = self.run.nodes.get(attempt.node)
        return (
            node is not None
            and attempt.epoch == self.ledger.epoch
            and attempt.number == node.attempt
            and node.state in IN_FLIGHT
        )

    def in_flight(self) -> list[AttemptId]:
        """Return all attempts that are with the cluster."""
        return [
            self.attempt(name, node.attempt)
            for name, node in self.run.nodes.items()
            if node.state in IN_FLIGHT
        ]

    def attempt(self, node: str, number: int) -> AttemptId:
        """Return the identity of an attempt of this driver's."""
        return AttemptId(self.run.id, node, number, self.ledger.epoch)

    def is_at_most_once(self, node: str) -> bool:
        """Whether `node` must not begin again without a decision."""
        return self.run.graph.nodes[node].policy.effect == "at_most_once"

    def only_people_can_help(self) -> bool:
        """Whether nothing is left to wait for but decisions about nodes in doubt."""
        if self.run.open == 0 or self.effects.waits or self.frontier.placed:
            return False
        return any(node.state is NodeState.IN_DOUBT for node in self.run.nodes.values())
