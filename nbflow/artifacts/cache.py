"""`TieredCache`: results of earlier runs, in memory and as entries of the artifact store.

An entry is a small JSON document, ``cache/ab/abcdef…`` by its key: the version of its format, a
digest of the result's JSON, and the result. The values themselves are artifacts, which it names by
digest; so a clean-up finds them (`nbflow.session.housekeeping`), and a result outlives its run.

Wrong is worse than slow. An entry is believed only if its digest fits; an entry of a newer
program, one that is damaged, and a store that cannot be read are misses, each of which is
logged once. A result whose artifacts are gone is forgotten. All the others are touched before they
are handed out: from then on they are too young for a clean-up that runs at the same time.

What is remembered may be older than what another process has kept since. Where it is no longer
good, the store is asked.
"""

import logging
import threading
from collections import OrderedDict

import msgspec

from nbflow.core.caching import is_good
from nbflow.core.errors import ArtifactError
from nbflow.core.fingerprints import digest
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.ports import ArtifactStore, ResultCache

#: Folder of the entries in the store.
FOLDER = "cache"
#: Version of the entries' format; it rises when an older program could misread them.
FORMAT = 1
#: Bytes of entries that are remembered; one takes about 500, without its inline values.
MEMORY_BYTES = 16_000_000

_log = logging.getLogger(__name__)


class _Versioned(msgspec.Struct, frozen=True):
    """What all versions of an entry have."""

    version: int


class _Entry(msgspec.Struct, frozen=True):
    version: int
    check: str
    result: msgspec.Raw


class _Unusable(ValueError):
    """An entry cannot be used: of which kind that is, and why."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class TieredCache(ResultCache):
    """A cache of results over an artifact store. Thread-safe.

    Parameters
    ----------
    store
        Where entries and artifacts are.
    memory_bytes
        How much is remembered, in bytes of entries; what was used least recently goes first.
    """

    def __init__(self, store: ArtifactStore, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self._store = store
        self._memory = _Memory(memory_bytes)
        #: Kinds of trouble that have been logged.
        self._told: set[str] = set()

    def find(self, key: str, policy: Cache, *, now: float) -> Result | None:
        """Return a result that is still good under `policy`, with all its artifacts in place.

        Parameters
        ----------
        key
            What the result was made of (`Fingerprint.key`).
        policy
            That of the node which asks.
        now
            Seconds since the epoch.
        """
        try:
            return self._remembered(key, policy, now) or self._kept(key, policy, now)
        except _Unusable as trouble:
            self._tell(trouble.kind, f"the entry {entry_name(key)} of the cache {trouble}")
        except ArtifactError as error:
            self._tell("unreadable", f"the cache cannot be read: {error}")
        return None

    def keep(self, result: Result) -> None:
        """Keep a result for later runs, in place of an earlier one of the same key."""
        data = _encoded(result)
        self._memory.put(result, len(data))
        try:
            self._store.put_entry(entry_name(result.key), data)
        except ArtifactError as error:
            self._tell("unwritable", f"results cannot be kept for later runs: {error}")

    def _remembered(self, key: str, policy: Cache, now: float) -> Result | None:
        result = self._memory.get(key)
        if result is None or not is_good(result, policy, now=now):
            return None
        if not self._in_place(result):
            self._memory.drop(key)
            return None
        return result

    def _kept(self, key: str, policy: Cache, now: float) -> Result | None:
        data = self._store.get_entry(entry_name(key))
        if data is None:
            return None
        result = _decoded(data, key)
        if not is_good(result, policy, now=now):
            # It stays: another node may be content with it.
            return None
        if not self._in_place(result):
            self._store.remove_entry(entry_name(key))
            return None
        self._memory.put(result, len(data))
        return result

    def _in_place(self, result: Result) -> bool:
        return all(self._store.touch(artifact.digest) for artifact in result.artifacts())

    def _tell(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            _log.warning("%s. What it would have spared runs; this is not told again", message)


def entry_name(key: str) -> str:
    """Return the name of the store's entry for a key."""
    return f"{FOLDER}/{key[:2]}/{key}"


def flaw(entry: str, data: bytes) -> str:
    """Return what is wrong with an entry of this name; empty if it is whole, or not for us."""
    try:
        _decoded(data, entry.rpartition("/")[2])
    except _Unusable as trouble:
        return str(trouble) if trouble.kind == "damaged" else ""
    return ""


def _encoded(result: Result) -> bytes:
    content = msgspec.json.encode(result)
    return msgspec.json.encode(_Entry(FORMAT, digest(content), msgspec.Raw(content)))


def _decoded(data: bytes, key: str) -> Result:
    """Return the result in an entry; `_Unusable` if it cannot be believed."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version > FORMAT:
            raise _Unusable("newer", f"is of a newer nbflow (format {version})")
        entry = msgspec.json.decode(data, type=_Entry)
        if digest(bytes(entry.result)) != entry.check:
            raise _Unusable("damaged", "is damaged: its digest does not fit")
        result = msgspec.json.decode(entry.result, type=Result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Unusable("damaged", f"is damaged ({error})") from error
    if result.key != key:
        raise _Unusable("damaged", f"is damaged: it is of {result.key}")
    return result


class _Memory:
    """The results that were used last, up to a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()
        #: The least recently used first.
        self._results: OrderedDict[str, tuple[Result, int]] = OrderedDict()

    def get(self, key: str) -> Result | None:
        with self._lock:
            if key not in self._results:
                return None
            self._results.move_to_end(key)
            return self._results[key][0]

    def put(self, result: Result, size_bytes: int) -> None:
        """Remember a result; one that is too large is not, and its predecessor is forgotten."""
        with self._lock:
            self._drop(result.key)
            if size_bytes > self._limit_bytes:
                return
            self._results[result.key] = (result, size_bytes)
            self._used_bytes += size_bytes
            while self._used_bytes > self._limit_bytes:
                self._drop(next(iter(self._results)))

    def drop(self, key: str) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: str) -> None:
        if key in self._results:
            _, size_bytes = self._results.pop(key)
            self._used_bytes -= size_bytes
