"""`MemoryCache`: the result cache's contract in a dictionary."""

import threading

from nbflow.core.caching import is_good
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.ports import ArtifactStore, ResultCache


class MemoryCache(ResultCache):
    """A cache of results that lives as long as its object.

    Parameters
    ----------
    store
        Where the artifacts are that results name.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._results: dict[str, Result] = {}

    def find(self, key: str, policy: Cache, *, now: float) -> Result | None:
        """Return a result that is still good under `policy`, with all its artifacts in place."""
        with self._lock:
            result = self._results.get(key)
            if result is None or not is_good(result, policy, now=now):
                return None
            if not all(self._store.touch(artifact.digest) for artifact in result.artifacts()):
                del self._results[key]
                return None
            return result

    def keep(self, result: Result) -> None:
        """Keep a result, in place of an earlier one of the same key."""
        with self._lock:
            self._results[result.key] = result
