"""The ports: what the driver needs from the world, as protocols.

Each port has a fake in `nbflow.testing` and at least one real adapter, and one
contract suite in ``tests/contracts`` that runs on both. Signatures are
synchronous where the real work is a short blocking call that the driver sends to its own
writer thread, and asynchronous where waiting is the point.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from nbflow.core.attempts import AttemptTask, Report, StoreRef
from nbflow.core.events import Event, Record
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.core.values import Artifact, ArtifactKind

#: The longest lease that a journal grants, in seconds.
MAX_LEASE_S = 120.0


class RunRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a journal's index knows of a run without reading its events."""

    id: str
    flow: str
    created_at: float
    epoch: int
    last_seq: int
    #: Who drives it (``host:pid``), empty when nobody does.
    holder: str = ""
    #: Until when the holder's lease is good, in seconds since the epoch.
    lease_until: float = 0.0

    def is_held(self, now: float) -> bool:
        """Whether somebody's lease is good at `now` (seconds since the epoch).

        A lease that ends later than the longest that is granted was stamped by a clock that has
        been set back since, or by another machine's wrong one. Nobody waits for that: the
        epoch keeps a driver that still lives from writing.
        """
        return bool(self.holder) and now < self.lease_until <= now + MAX_LEASE_S


class Signal(msgspec.Struct, frozen=True):
    """A request left for a run's driver by someone else."""

    id: int
    kind: str
    by: str
    at: float
    #: What is asked, as JSON text, where `kind` does not say it all.
    body: str = ""


class Damage(msgspec.Struct, frozen=True):
    """A fault in what a journal holds of a run; `seq` is 0 where it concerns the run's row."""

    run: str
    seq: int
    what: str


class Journal(Protocol):
    """Append-only event log of all runs of one home.

    Thread-safe; every call is durable when it returns.
    """

    def create(self, run: str, event: Event, *, flow: str, at: float) -> Record:
        """Add a run with its first event, at seq 1 and epoch 0; `RunExists` if the id is taken."""

    def claim(self, run: str, holder: str, *, now: float, ttl_s: float) -> int:
        """Take the run's lease and return its new epoch; `RunHeld` while another's is good."""

    def renew(self, run: str, epoch: int, *, now: float, ttl_s: float) -> None:
        """Extend the lease; `LostLease` if `epoch` is no longer the run's."""

    def release(self, run: str, epoch: int) -> None:
        """Give the lease back; nothing happens if `epoch` is no longer the run's."""

    def append(self, run: str, epoch: int, records: Sequence[Record]) -> None:
        """Append in one transaction, all or nothing; `LostLease` if `epoch` is not the run's."""

    def read(self, run: str, after_seq: int = 0) -> Iterator[Record]:
        """Yield the run's records in order; `UnknownRun` if there is no such run."""

    def row(self, run: str) -> RunRow:
        """Return the run's row of the index; `UnknownRun` if there is no such run."""

    def rows(self) -> list[RunRow]:
        """Return all runs, oldest first; `JournalError` if one's row is damaged."""

    def listed(self) -> list[tuple[RunRow, str]]:
        """Return all runs, oldest first, each with what is wrong with its row: mostly nothing.

        Of a damaged row there is what is legible.
        """

    def references(self, run: str) -> Iterator[str]:
        """Yield the digests of artifacts in which the journal itself keeps large events."""

    def verify(self, run: str) -> Iterator[Damage]:
        """Yield every fault of what is held of the run, not only the first."""

    def restore(self, row: RunRow, records: Sequence[Record]) -> None:
        """Add a run with its whole history, all or nothing, held by nobody; see `create`."""

    def remove(self, run: str, *, now: float) -> None:
        """Forget a run; `RunHeld` while somebody's lease is good, `UnknownRun` if there is none."""

    def signal(self, run: str, kind: str, by: str, *, at: float, body: str = "") -> None:
        """Leave a request for the run's driver; durable when this returns."""

    def signals(self, run: str) -> list[Signal]:
        """Return requests that no driver has consumed, oldest first."""

    def consume(self, run: str, epoch: int, signal: int) -> None:
        """Mark a request as taken up by the driver of `epoch`."""

    def close(self) -> None:
        """Release all resources."""


class Stored(msgspec.Struct, frozen=True):
    """An artifact as it lies in a store."""

    digest: str
    size_bytes: int
    #: When it was last put or touched, in seconds since the epoch.
    modified_at: float


class Entry(msgspec.Struct, frozen=True):
    """Something that a store keeps under a name, as it lies there."""

    name: str
    size_bytes: int
    #: When it was last put, in seconds since the epoch.
    modified_at: float


class StoredReceipt(msgspec.Struct, frozen=True):
    """A receipt as it lies in a store. Its attempt's epoch is not known: 0."""

    attempt: AttemptId
    size_bytes: int
    #: When it was last put, in seconds since the epoch.
    modified_at: float


class ArtifactStore(Protocol):
    """Bytes addressed by their SHA-256 (``sha256:<hex>``). What `put` returns is durable.

    Besides, a store keeps small *entries* under names that their owners choose (``cache/ab/abc…``;
    segments as in node names), and the receipts of attempts.
    """

    @property
    def ref(self) -> StoreRef:
        """How a worker finds this store."""

    def put(
        self, data: bytes, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store `data`; storing the same bytes twice stores them once."""

    def put_file(
        self, path: Path, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store a file's content, in constant memory."""

    def get(self, digest: str) -> bytes:
        """Return verified bytes; `ArtifactError` if they are missing or damaged."""

    def path(self, digest: str) -> Path:
        """Return a local file with verified bytes, which must not be changed."""

    def materialise(self, digest: str, target: Path) -> None:
        """Write verified bytes to a file for people, atomically; parents are made."""

    def exists(self, digest: str) -> bool:
        """Whether the store has the artifact."""

    def touch(self, digest: str) -> bool:
        """As `exists`; and a clean-up will take it for as young as if it were put now.

        To be called before an artifact that an earlier run has made is recorded anew.
        """

    def staging(self) -> AbstractContextManager[Path]:
        """Make a private folder, from which `put_file` moves files; it is removed at the end."""

    def put_entry(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`, whole and durably; the last of several writers wins."""

    def get_entry(self, name: str) -> bytes | None:
        """Return what was last put under `name`, if anything."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the entries below `prefix`, a folder such as ``cache``, or all, in no order."""

    def remove_entry(self, name: str) -> None:
        """Forget an entry; nothing happens if there is none."""

    def put_receipt(self, attempt: AttemptId, data: bytes) -> None:
        """Keep an attempt's outcome where the next driver finds it, durably."""

    def get_receipt(self, attempt: AttemptId) -> bytes | None:
        """Return what `put_receipt` kept for the attempt, if anything."""


class TendedStore(ArtifactStore, Protocol):
    """What house-keeping needs of a store beyond what attempts and drivers do."""

    def stored(self) -> Iterator[Stored]:
        """Yield every artifact, in no order."""

    def reading(self, digest: str) -> AbstractContextManager[BinaryIO]:
        """Open an artifact to be read once from its beginning; nobody has verified the bytes.

        `ArtifactError` if it is missing.
        """

    def remove(self, digest: str, *, before: float) -> bool:
        """Remove an artifact that was last put or touched before that time; whether it was."""

    def receipts(self, run: str | None = None) -> Iterator[StoredReceipt]:
        """Yield the receipts of a run, or of all runs, in no order."""

    def remove_receipt(self, attempt: AttemptId) -> None:
        """Forget a receipt; nothing happens if there is none."""

    def unfinished(self) -> Iterator[Entry]:
        """Yield what writers that were cut short have left behind, or are still writing."""

    def remove_unfinished(self, name: str) -> None:
        """Remove such a leftover."""


class ResultCache(Protocol):
    """Results of earlier runs, by what they were made of. Best effort: a miss is never an error."""

    def find(self, key: str, policy: Cache, *, now: float) -> Result | None:
        """Return a result that is still good under `policy`.

        All its artifacts are in place, and have just been touched: no clean-up drops them before
        the result is recorded.
        """

    def keep(self, result: Result) -> None:
        """Keep a result for later runs, in place of an earlier one of the same key."""


class ClusterInfo(msgspec.Struct, frozen=True):
    """What a person wants to know of a cluster."""

    address: str
    dashboard: str
    workers: int
    threads: int
    #: Whether all workers read and write the artifact store themselves.
    shares_store: bool
    #: Names of kernels that every worker can start; empty where they are this program's own.
    kernels: frozenset[str]
    #: The most of each Dask resource that any one worker offers.
    resources: dict[str, float]


class Cluster(Protocol):
    """Where attempts run.

    Reports arrive through the callback given to `start`,
    in the loop's thread.
    """

    async def start(self, report: Callable[[Report], None]) -> None:
        """Connect, or start up; `ClusterError` if the cluster cannot be reached."""

    async def survey(self, store: StoreRef) -> ClusterInfo:
        """Ask every worker what it can do; `ClusterError` if one cannot run this nbflow."""

    async def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Hand over attempts; each is reported `Started` at most once, then `Ended` or `Lost`."""

    async def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Ask for attempts to stop; each still ends in `Ended` (status ``stopped``) or `Lost`.

        A driver may ask more than once, which changes nothing. Attempts of an earlier driver, of
        which nothing is reported here, stop if they still run.
        """

    async def close(self) -> None:
        """Let go; an embedded cluster ends with all its processes."""
