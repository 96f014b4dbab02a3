"""Where attempts may go: the workers that can run nbflow, and this flow.

All workers are asked before a run begins, and one that cannot is an error then. Later, workers
join that nobody has asked: of another version, or on a machine that does not see the store. One
that gets an attempt refuses it, and the attempt goes elsewhere.
"""

from collections.abc import Callable
from typing import Any

from nbflow.cluster import connecting, remote
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ClusterError


class Places:
    """What is known of a cluster's workers.

    Parameters
    ----------
    note
        Receives remarks for people.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._told: set[str] = set()
        self._store: StoreRef | None = None
        self._shared = False
        #: Where to send attempts; None is anywhere. A preference: if none of them is left, Dask may
        #: choose another one.
        self.preferred: list[str] | None = None

    async def survey(
        self, client: Any, store: StoreRef, *, list_kernels: bool
    ) -> dict[str, remote.ProbeResult]:
        """Return what each worker can do, by its address.

        Raises
        ------
        ClusterError
            If one cannot run nbflow, or has another version of it.
        """
        probes, unfit = await connecting.probe(client, store, list_kernels=list_kernels)
        for reason in unfit.values():
            raise ClusterError(reason)
        for doubt in connecting.doubts(probes):
            self._note(doubt)
        self._store = store
        self._shared = all(result.shares_store for result in probes.values())
        return probes

    async def look_again(self, client: Any) -> str:
        """Ask all workers once more, since one has refused; return why if none can do it.

        Raises
        ------
        OSError
            If the connection to the scheduler breaks.
        """
        assert self._store is not None, "the cluster has not been surveyed"
        probes, unfit = await connecting.probe(client, self._store, list_kernels=False)
        for worker, result in probes.items():
            if self._shared and not result.shares_store:
                unfit[worker] = (
                    f"worker {worker} does not see the store {self._store.shown}, as others do"
                )
        for worker, reason in unfit.items():
            if worker not in self._told:
                self._told.add(worker)
                self._note(f"{reason}. It gets no nodes of this run")
        fit = sorted(probes.keys() - unfit.keys())
        self.preferred = fit if fit and unfit else None
        return "" if fit else "; ".join(unfit.values())
