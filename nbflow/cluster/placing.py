"""Where attempts may go: the workers that can run nbflow, and this flow.

All workers are asked before a run begins, and one that cannot is an error then. Later, workers
join that nobody has asked: of another version, or on a machine that does not see the store. One
that gets an attempt refuses it, and the attempt goes elsewhere.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from nbflow.cluster import connecting
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ClusterError

#: How often it is asked whether a worker has come that can run what others cannot, in seconds.
LOOK_S = 1.0


class Places:
    """What is known of a cluster's workers.

    Parameters
    ----------
    note
        Receives remarks for people.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        #: What has been told, and of what.
        self._told: set[tuple[str, str]] = set()
        self._store: StoreRef | None = None
        #: When the last look began, and what came of it.
        self._looking = asyncio.Lock()
        self._looked = -math.inf
        self._why = ""
        self._shared = False
        #: Where to send attempts; None is anywhere. A preference: if none of them is left, Dask may
        #: choose another one.
        self.preferred: list[str] | None = None

    async def survey(
        self, client: Any, store: StoreRef, *, list_kernels: bool
    ) -> connecting.Answers:
        """Return what workers say of themselves.

        Raises
        ------
        ClusterError
            If one cannot run nbflow, or has another version of it.
        """
        answers = await connecting.probe(client, store, list_kernels=list_kernels)
        for reason in answers.unfit.values():
            raise ClusterError(reason)
        for doubt in connecting.doubts(answers.probes):
            self._note(doubt)
        for worker, reason in answers.unheard.items():
            self._tell_once("unheard", worker, reason)
        self._store = store
        self._shared = all(result.shares_store for result in answers.probes.values())
        return answers

    async def look_again(self, client: Any) -> str:
        """Ask all workers once more, since one has refused; return why if none can do it.

        Workers that can may be on their way, started anew by their nannies: they are waited for, as
        the first worker of all is. What is refused meanwhile waits with the others.

        Raises
        ------
        OSError
            If the connection to the scheduler breaks.
        """
        asked = time.monotonic()
        async with self._looking:
            if self._looked >= asked:
                return self._why
            while True:
                self._looked = time.monotonic()
                self._why = await self._look(client)
                if not self._why or self._looked >= asked + connecting.FIRST_WORKER_TIMEOUT_S:
                    return self._why
                self._tell_once("nobody", self._why, f"{self._why}. Waiting for one that can")
                await asyncio.sleep(LOOK_S)

    async def _look(self, client: Any) -> str:
        assert self._store is not None, "the cluster has not been surveyed"
        answers = await connecting.probe(client, self._store, list_kernels=False)
        unfit = dict(answers.unfit)
        for worker, result in answers.probes.items():
            if self._shared and not result.shares_store:
                unfit[worker] = (
                    f"worker {worker} does not see the store {self._store.shown}, as others do"
                )
        for worker, reason in unfit.items():
            self._tell_once("unfit", worker, f"{reason}. It gets no nodes of this run")
        fit = sorted(answers.probes.keys() - unfit.keys())
        self.preferred = fit if fit and (unfit or answers.unheard) else None
        return "" if fit else "; ".join((*unfit.values(), *answers.unheard.values()))

    def _tell_once(self, what: str, of: str, remark: str) -> None:
        if (what, of) not in self._told:
            self._told.add((what, of))
            self._note(remark)
