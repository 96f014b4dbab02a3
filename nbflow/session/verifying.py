"""Whether what is recorded is still what was recorded: `nbflow verify`.

The journal looks at its own records; here, every artifact that they name is read through, each
once, in constant memory, and compared with the hash and the size that the record gives; and so are
the receipts, from which a next driver would learn of ends that nobody has recorded. The entries
of the cache belong to no run, and are looked at where all runs are.

Nothing is changed. What can be mended is made again by the node that made it, so that is
what a finding says.
"""

from collections.abc import Iterator, Sequence

import msgspec

from nbflow.artifacts.cache import FOLDER as CACHE
from nbflow.artifacts.cache import flaw
from nbflow.artifacts.files import hashed
from nbflow.core.attempts import Outcome
from nbflow.core.errors import ArtifactError, JournalError
from nbflow.core.events import Record
from nbflow.core.machine import IllegalTransition, replay
from nbflow.ports import Journal, TendedStore
from nbflow.session.references import Reference, digests_of, live_references

_OUTCOME = msgspec.json.Decoder(Outcome)

_NO_BACKUP = "restore the home from a backup"
_NEEDS_NOTHING = (
    "nothing needs to be done: it counts as a miss, and the next such result replaces it"
)

_OF_THE_PAST = (
    "nothing needs to be done: the run has gone beyond it. Only an export misses it, which takes "
    "the past along, too"
)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it was recorded."""

    #: Empty where it concerns none, or all.
    run: str
    #: Of which node; None where it concerns the whole run.
    node: str | None
    #: The record that tells of it; 0 if none does.
    seq: int
    #: What it is: ``output 'model'``, ``record``, ``receipt of train#2``, ``entry of the cache …``.
    place: str
    #: What is wrong.
    what: str
    #: What can be done.
    fix: str
    #: Whether it is a fault: what only the past of a run names, nobody needs to go on.
    is_fault: bool = True


class Verification(msgspec.Struct, frozen=True):
    """What was looked at, and what was found."""

    runs: int
    records: int
    artifacts: int
    size_bytes: int
    findings: tuple[Finding, ...]
    #: Entries of the cache.
    entries: int = 0

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What somebody needs, and is not as it was recorded."""
        return tuple(each for each in self.findings if each.is_fault)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is not as it was recorded, and is needed only to look at the past."""
        return tuple(each for each in self.findings if not each.is_fault)


def verify(
    journal: Journal, store: TendedStore, runs: Sequence[str], *, cache: bool = False
) -> Verification:
    """Compare all that is held of `runs` with what was recorded of it.

    Parameters
    ----------
    journal, store
        Of the home.
    runs
        Their ids.
    cache
        Whether to look at the entries of the cache, too.

    Raises
    ------
    UnknownRun
        If there is no such run.
    """
    looking = _Look(journal, store)
    findings = [finding for run in runs for finding in looking.at(run)]
    if cache:
        findings += looking.at_cache()
    return Verification(
        len(runs),
        looking.records,
        looking.artifacts,
        looking.size_bytes,
        tuple(findings),
        looking.entries,
    )


def with_faults(found: Verification, faults: Sequence[str]) -> Verification:
    """Add what is wrong with the journal's database as a whole, which may hide any run."""
    whole = tuple(Finding("", None, 0, "journal", what, _NO_BACKUP) for what in faults)
    return msgspec.structs.replace(found, findings=(*found.findings, *whole))


class _Look:
    """One look at some runs. An artifact that several records name is read once."""

    def __init__(self, journal: Journal, store: TendedStore) -> None:
        self._journal = journal
        self._store = store
        #: digest -> its size, or what is wrong with it.
        self._seen: dict[str, int | str] = {}
        self.records = 0
        self.entries = 0
        self.size_bytes = 0

    @property
    def artifacts(self) -> int:
        return len(self._seen)

    def at(self, run: str) -> Iterator[Finding]:
        damages = list(self._journal.verify(run))
        for damage in damages:
            place = "record" if damage.seq else "row in the journal"
            yield Finding(run, None, damage.seq, place, damage.what, _NO_BACKUP)
        records = self._readable(run)
        looked_at = [(it, self._problem(it)) for it in _each_once(live_references(records))]
        wrong = [(it, problem) for it, problem in looked_at if problem is not None]
        needed = _needed(records) if wrong else None
        for reference, problem in wrong:
            finding = _finding(run, reference, problem)
            if needed is not None and reference.digest not in needed:
                finding = msgspec.structs.replace(finding, fix=_OF_THE_PAST, is_fault=False)
            yield finding
        yield from self._of_receipts(run)

    def at_cache(self) -> Iterator[Finding]:
        for entry in self._store.entries(CACHE):
            try:
                data = self._store.get_entry(entry.name)
                what = "" if data is None else flaw(entry.name, data)
            except ArtifactError as error:
                what = f"cannot be read ({error})"
            self.entries += 1
            if what:
                place = f"entry of the cache {entry.name}"
                yield Finding("", None, 0, place, f"it {what}", _NEEDS_NOTHING)

    def _readable(self, run: str) -> list[Record]:
        """Return the records up to the first that cannot be read; `Journal.verify` told of it."""
        records = []
        try:
            for record in self._journal.read(run):
                records.append(record)  # noqa: PERF402 - those before the damage count
        except JournalError:
            pass
        self.records += len(records)
        return records

    def _problem(self, reference: Reference) -> str | None:
        digest = reference.digest
        if digest not in self._seen:
            self._seen[digest] = self._read_through(digest)
        seen = self._seen[digest]
        if isinstance(seen, str):
            return seen
        if reference.size_bytes not in (None, seen):
            return (
                f"artifact {digest} has {seen:,} bytes, and the record says "
                f"{reference.size_bytes:,}"
            )
        return None

    def _read_through(self, digest: str) -> int | str:
        try:
            with self._store.reading(digest) as file:
                found, size_bytes = hashed(file)
        except ArtifactError:
            return f"artifact {digest} is missing"
        except OSError as error:
            return f"artifact {digest} cannot be read ({error.strerror or error})"
        self.size_bytes += size_bytes
        if found != digest:
            return f"artifact {digest} is damaged: its {size_bytes:,} bytes hash to {found}"
        return size_bytes

    def _of_receipts(self, run: str) -> Iterator[Finding]:
        for receipt in self._store.receipts(run):
            data = self._store.get_receipt(receipt.attempt) or b""
            try:
                _OUTCOME.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield Finding(
                    run,
                    receipt.attempt.node,
                    0,
                    f"receipt of {receipt.attempt}",
                    f"it cannot be read ({error})",
                    "none is needed if the run has ended; else "
                    + _again(run, receipt.attempt.node),
                )


def _each_once(references: Iterator[Reference]) -> list[Reference]:
    """Return each place once: the latest record of what a node has."""
    latest = {(each.node, each.what, each.digest): each for each in references}
    return sorted(latest.values(), key=lambda each: (each.seq, each.what))


def _needed(records: list[Record]) -> set[str] | None:
    """Return the artifacts that the run needs to go on, or to be read; None if nobody knows.

    All others that its records name are kept as well (`nbflow.session.housekeeping`), to show what
    has happened; but what is lost of these cannot come back, and nothing has to be done.
    """
    try:
        return digests_of(replay(records)) if records else None
    except IllegalTransition:
        return None


def _finding(run: str, reference: Reference, problem: str) -> Finding:
    node = reference.node
    if node is None or reference.what in ("code", "params"):
        # Nothing that runs makes these; the definition does.
        fix = "run the flow again from its definition, which stores it anew"
    else:
        fix = _again(run, node)
    return Finding(run, node, reference.seq, reference.what, problem, fix)


def _again(run: str, node: str) -> str:
    return f"make it again: nbflow resume {run} --from {node}"
