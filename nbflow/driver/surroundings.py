"""What a driver is given to work with."""

from dataclasses import dataclass

from nbflow.ports import ArtifactStore, Cluster, Journal


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
    """

    journal: Journal
    store: ArtifactStore
    cluster: Cluster
    shares_store: bool
    slots: int
