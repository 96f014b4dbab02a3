"""What a driver is given to work with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nbflow.core.events import FlowChanged
from nbflow.core.ids import AttemptId
from nbflow.core.results import Result
from nbflow.core.resuming import Wish
from nbflow.ports import ArtifactStore, Cluster, Journal, ResultCache


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a driver works with.

    Parameters
    ----------
    journal, store, cluster
        The ports. The cluster has been started, with the driver's `put` as its report callback.
    shares_store
        Whether workers reach the store themselves; else bytes travel with tasks and outcomes.
    slots
        How many attempts the cluster runs at once, about.
    cache
        Results of earlier runs; None is never to ask for any.
    digest_of_files
        Digests the files that a node is declared to read, given their paths and patterns.
    seeds
        Results of the run from which this one was forked, by key.
    traceparent
        The W3C trace context that an attempt hands to its kernel; empty where nobody traces.
    """

    journal: Journal
    store: ArtifactStore
    cluster: Cluster
    shares_store: bool
    slots: int
    cache: ResultCache | None = None
    digest_of_files: Callable[[Sequence[str]], str] = lambda _: ""
    seeds: Mapping[str, Result] = field(default_factory=dict)
    traceparent: Callable[[AttemptId], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a run that has begun before is to go on.

    Parameters
    ----------
    change
        Another definition, if there is one.
    wish
        What is to run besides what has to.
    """

    change: FlowChanged | None = None
    wish: Wish = Wish()
