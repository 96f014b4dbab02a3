"""What nothing refers to any more, and its removal: `nbflow gc`.

First whole runs go, if the caller sets limits to their number or age. A run that somebody drives
stays, and so does one that has not ended, unless that is asked for; and one from which such a run
was forked. Of a run, the journal's record goes first: a clean-up that is killed leaves a run
whole, or files that nothing refers to, which the next one finds.

Then goes what is reachable from nothing. The roots are all records of all runs (what they name,
and the journal's own large bodies), receipts of these runs (an attempt may have ended that
no driver has recorded yet), and the entries of the store (the cache). A journal that cannot be
read in full has unknown roots, so nothing is removed then.

Between the reading of the roots and the removal, the world goes on. Whatever a driver or worker
has put but not recorded yet is saved by its age: nothing younger than the *grace period*
goes. Putting bytes that are there already makes them young, and so does `touch`, which
drivers call before they record what an earlier run has made (`nbflow.artifacts.folders` tells how
that is safe against a removal at the same moment). A grace period must thus be longer
than the time from storing something to recording it, which is seconds, and the difference between
the clocks of the machines that share a store.
"""

import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from nbflow.core.errors import NbflowError, RunHeld
from nbflow.core.events import RunCreated, RunEnded, RunReopened
from nbflow.core.ids import AttemptId, is_run_id
from nbflow.ports import Entry, Journal, RunRow, TendedStore
from nbflow.session import tenants
from nbflow.session.home import Home, is_driven, runs_folder
from nbflow.session.references import digests_in, live_references

#: The grace period that fits all but special cases, in seconds.
GRACE_S = 86_400.0
#: The shortest grace period while some run is driven, in seconds.
DRIVEN_GRACE_S = 3_600.0

#: Folder of the store's entries that hold results of earlier runs.
CACHE = "cache"

Kind: TypeAlias = Literal["run", "folder", "receipt", "entry", "artifact", "unfinished"]


class CannotClean(NbflowError):
    """A clean-up could remove what is needed."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept; by default, all runs.

    Parameters
    ----------
    keep_runs
        The newest runs of each flow that stay, whatever their age.
    older_than_s
        Runs that ended within this time, in seconds, stay.
    unfinished
        Whether runs that have not ended, and that nobody drives, may go like others. Their age
        counts from their last record.
    cache_older_than_s
        Entries of the cache that were put within this time, in seconds, stay. None keeps all.
    grace_s
        What was stored within this time, in seconds, stays.
    alone
        Whether no other journal uses the store any more, whatever one has said.
    """

    keep_runs: int | None = None
    older_than_s: float | None = None
    unfinished: bool = False
    cache_older_than_s: float | None = None
    grace_s: float = GRACE_S
    alone: bool = False


class Removal(msgspec.Struct, frozen=True):
    """Something that goes. `modified_at` is in seconds since the epoch."""

    kind: Kind
    name: str
    size_bytes: int
    modified_at: float


class Cleaning(msgspec.Struct, frozen=True):
    """What a clean-up has removed, or would remove."""

    removals: tuple[Removal, ...]
    kept_runs: int
    kept_artifacts: int
    kept_bytes: int

    @property
    def size_bytes(self) -> int:
        """How much room that makes."""
        return sum(removal.size_bytes for removal in self.removals)

    def of(self, kind: Kind) -> list[Removal]:
        """Return the removals of one kind."""
        return [removal for removal in self.removals if removal.kind == kind]


class _RunFacts(msgspec.Struct, frozen=True):
    """What a clean-up needs to know of a run."""

    row: RunRow
    digests: frozenset[str]
    #: When it ended, or of one that has not: when the last record was made.
    last_at: float
    ended: bool
    forked_from: str


def clean(home: Home, limits: Limits, *, now: float, dry_run: bool = False) -> Cleaning:
    """Remove what `limits` does not keep, and all that nothing refers to.

    Parameters
    ----------
    home
        Open; as it is cleaned, runs in it may start, go on and end.
    limits
        What is to be kept.
    now
        Seconds since the epoch.
    dry_run
        Whether only to tell what would be removed.

    Raises
    ------
    JournalError
        If a run cannot be read, so that what it needs is not known. Nothing was removed.
    CannotClean
        If a run is driven, and the grace period is too short for that; or if another journal uses
        the same store.
    ArtifactError
        If the store cannot be used.
    """
    if not limits.alone:
        _require_alone(home)
    elif not dry_run:
        tenants.forget_others(home.store, home.tenant)
    facts = [_facts(home.journal, row) for row in home.journal.rows()]
    if limits.grace_s < DRIVEN_GRACE_S:
        _require_rest(facts, now)
    doomed = _beyond(facts, limits, now)
    removals = list(_of_runs(home, doomed, now, dry_run=dry_run))
    gone = {each.row.id for each in doomed} if dry_run else set()
    if dry_run:
        facts = [each for each in facts if each.row.id not in gone]
    else:
        # Runs have come since, and some have found a driver.
        facts = [_facts(home.journal, row) for row in home.journal.rows()]
    sweep = _Sweep(home, facts, gone, limits, now, dry_run=dry_run)
    removals += sweep.removals()
    return Cleaning(tuple(removals), len(facts), sweep.kept, sweep.kept_bytes)


def _facts(journal: Journal, row: RunRow) -> _RunFacts:
    digests: set[str] = set(journal.references(row.id))
    last_at, ended, forked_from = row.created_at, False, ""
    records = []
    for record in journal.read(row.id):
        last_at = max(last_at, record.at)
        match record.event:
            case RunCreated():
                forked_from = record.event.forked_from
            case RunEnded():
                ended = True
            case RunReopened():
                ended = False
        records.append(record)
    digests.update(reference.digest for reference in live_references(records))
    return _RunFacts(row, frozenset(digests), last_at, ended, forked_from)


def _require_alone(home: Home) -> None:
    if others := tenants.others(home.store, home.tenant):
        raise CannotClean(
            f"the store {home.store.ref.shown} is also used by {'; '.join(others)}. What that "
            "refers to is not known here, and would be removed. Give each journal a store of its "
            "own; if that one is gone for good, say so by --alone"
        )


def _require_rest(facts: list[_RunFacts], now: float) -> None:
    driven = [each.row.id for each in facts if is_driven(each.row, now)]
    if driven:
        raise CannotClean(
            f"run {driven[0]} is being driven, and what it has just stored must not be taken for "
            f"rubbish: the grace period must be at least {DRIVEN_GRACE_S:,.0f} s. Choose a longer "
            "one, or wait until the run has ended"
        )


def _beyond(facts: list[_RunFacts], limits: Limits, now: float) -> list[_RunFacts]:
    """Return the runs that no limit keeps, oldest first."""
    if limits.keep_runs is None and limits.older_than_s is None:
        return []
    newest: defaultdict[str, int] = defaultdict(int)
    beyond = []
    for each in reversed(facts):
        newest[each.row.flow] += 1
        is_new = limits.keep_runs is not None and newest[each.row.flow] <= limits.keep_runs
        is_young = limits.older_than_s is not None and each.last_at > now - limits.older_than_s
        may_go = (each.ended or limits.unfinished) and not is_driven(each.row, now)
        if may_go and not is_new and not is_young:
            beyond.append(each)
    staying = {each.row.id for each in facts} - {each.row.id for each in beyond}
    needed = {each.forked_from for each in facts if each.row.id in staying and not each.ended}
    return [each for each in reversed(beyond) if each.row.id not in needed]


def _of_runs(
    home: Home, doomed: list[_RunFacts], now: float, *, dry_run: bool
) -> Iterator[Removal]:
    """Remove whole runs, and tell what went with each."""
    for each in doomed:
        run = each.row.id
        if not dry_run:
            try:
                home.journal.remove(run, now=now)
            except RunHeld:
                # Someone has resumed it since.
                continue
        yield Removal("run", run, 0, each.last_at)
        yield from _of_folder(runs_folder(home.folder, run), now, dry_run=dry_run)
        for receipt in list(home.store.receipts(run)):
            if not dry_run:
                home.store.remove_receipt(receipt.attempt)
            name = _receipt_name(receipt.attempt)
            yield Removal("receipt", name, receipt.size_bytes, receipt.modified_at)


def _of_folder(folder: Path, before: float, *, dry_run: bool) -> Iterator[Removal]:
    """Remove a run's folder, if nothing in it is younger; what links lead to stays."""
    if folder.is_symlink() or not folder.is_dir():
        return
    size_bytes, modified_at = _weighed(folder)
    if modified_at >= before:
        return
    if not dry_run:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise CannotClean(
                f"the folder {folder} cannot be removed ({error.strerror}). Make it writable, and "
                "repeat the command"
            ) from error
    yield Removal("folder", str(folder), size_bytes, modified_at)


def _weighed(folder: Path) -> tuple[int, float]:
    """Return the size of a tree in bytes, and the time of its youngest part."""
    size_bytes, modified_at = 0, folder.lstat().st_mtime
    for place, _, files in os.walk(folder):
        for name in files:
            status = Path(place, name).lstat()
            modified_at = max(modified_at, status.st_mtime)
            if stat.S_ISREG(status.st_mode):
                size_bytes += status.st_size
    return size_bytes, modified_at


class _Sweep:
    """The removal of what none of the remaining runs needs.

    Parameters
    ----------
    home, limits, now, dry_run
        As of `clean`.
    facts
        The remaining runs.
    gone
        Runs of which all is taken for gone already.
    """

    def __init__(
        self,
        home: Home,
        facts: list[_RunFacts],
        gone: set[str],
        limits: Limits,
        now: float,
        *,
        dry_run: bool,
    ) -> None:
        self._home = home
        self._store: TendedStore = home.store
        self._runs = {each.row.id for each in facts}
        self._gone = gone
        self._needed: set[str] = set().union(*(each.digests for each in facts))
        self._before = now - limits.grace_s
        age_s = limits.cache_older_than_s
        self._cached_before = None if age_s is None else min(now - age_s, self._before)
        self._dry_run = dry_run
        self.kept = 0
        self.kept_bytes = 0

    def removals(self) -> Iterator[Removal]:
        # Roots before what hangs on them.
        yield from self._of_entries()
        yield from self._of_receipts()
        yield from self._of_artifacts()
        yield from self._of_unfinished()
        yield from self._of_folders()

    def _of_entries(self) -> Iterator[Removal]:
        for entry in list(self._store.entries()):
            if self._is_stale(entry):
                if not self._dry_run:
                    self._store.remove_entry(entry.name)
                yield Removal("entry", entry.name, entry.size_bytes, entry.modified_at)
            else:
                self._needed |= digests_in(self._store.get_entry(entry.name) or b"")

    def _is_stale(self, entry: Entry) -> bool:
        if self._cached_before is None or not entry.name.startswith(f"{CACHE}/"):
            return False
        return entry.modified_at < self._cached_before

    def _of_receipts(self) -> Iterator[Removal]:
        for receipt in list(self._store.receipts()):
            if receipt.attempt.run in self._gone:
                continue
            if receipt.attempt.run in self._runs:
                self._needed |= digests_in(self._store.get_receipt(receipt.attempt) or b"")
            elif receipt.modified_at < self._before:
                if not self._dry_run:
                    self._store.remove_receipt(receipt.attempt)
                name = _receipt_name(receipt.attempt)
                yield Removal("receipt", name, receipt.size_bytes, receipt.modified_at)

    def _of_artifacts(self) -> Iterator[Removal]:
        for stored in self._store.stored():
            goes = stored.digest not in self._needed and stored.modified_at < self._before
            if goes and not self._dry_run:
                goes = self._store.remove(stored.digest, before=self._before)
            if goes:
                yield Removal("artifact", stored.digest, stored.size_bytes, stored.modified_at)
            else:
                self.kept += 1
                self.kept_bytes += stored.size_bytes

    def _of_unfinished(self) -> Iterator[Removal]:
        for entry in list(self._store.unfinished()):
            if entry.modified_at < self._before:
                if not self._dry_run:
                    self._store.remove_unfinished(entry.name)
                yield Removal("unfinished", entry.name, entry.size_bytes, entry.modified_at)

    def _of_folders(self) -> Iterator[Removal]:
        """Remove folders of runs that a killed clean-up, or a start that failed, has left."""
        folders = self._home.folder / "runs"
        for folder in sorted(folders.iterdir()) if folders.is_dir() else ():
            if is_run_id(folder.name) and folder.name not in self._runs | self._gone:
                yield from _of_folder(folder, self._before, dry_run=self._dry_run)


def _receipt_name(attempt: AttemptId) -> str:
    return f"{attempt.run}/{attempt}"
