"""`MemoryJournal`: the journal's contract without a database."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from nbflow.core.errors import JournalError
from nbflow.core.events import Event, Record
from nbflow.journal import refusals
from nbflow.ports import Damage, Journal, RunRow, Signal

_PLACE = "the journal in memory"


@dataclass
class _Home:
    """What all handles share; changed only under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rows: dict[str, RunRow] = field(default_factory=dict)
    records: dict[str, list[Record]] = field(default_factory=dict)
    #: Every request there has ever been, at the index of its id less one.
    signals: list[tuple[str, Signal]] = field(default_factory=list)
    consumed: set[int] = field(default_factory=set)


class MemoryJournal(Journal):
    """A journal that lives as long as its handles; it can be handed from driver to driver.

    After `close`, as with a real one, every call is refused; `reopen` gives
    another handle on the same runs, as a second process would have.
    """

    def __init__(self) -> None:
        self._home = _Home()
        self._closed = False

    def reopen(self) -> "MemoryJournal":
        """Return a fresh handle on the same runs."""
        other = MemoryJournal()
        other._home = self._home
        return other

    def create(self, run: str, event: Event, *, flow: str, at: float) -> Record:
        """Add a run with its first event."""
        record = Record(run, 1, 0, at, event)
        with self._home.lock:
            self._check_open()
            if run in self._home.rows:
                raise refusals.exists(run, _PLACE)
            self._home.rows[run] = RunRow(id=run, flow=flow, created_at=at, epoch=0, last_seq=1)
            self._home.records[run] = [record]
        return record

    def claim(self, run: str, holder: str, *, now: float, ttl_s: float) -> int:
        """Take the run's lease."""
        with self._home.lock:
            row = self._existing(run)
            refusals.check_ttl(ttl_s)
            if row.is_held(now):
                raise refusals.held(row, now)
            epoch = row.epoch + 1
            self._change(row, epoch=epoch, holder=holder, lease_until=now + ttl_s)
        return epoch

    def renew(self, run: str, epoch: int, *, now: float, ttl_s: float) -> None:
        """Extend the lease."""
        with self._home.lock:
            refusals.check_ttl(ttl_s)
            row = self._existing(run)
            if row.epoch != epoch or not row.holder:
                raise refusals.lost(row, epoch)
            self._change(row, lease_until=now + ttl_s)

    def release(self, run: str, epoch: int) -> None:
        """Give the lease back."""
        with self._home.lock:
            self._check_open()
            row = self._home.rows.get(run)
            if row is not None and row.epoch == epoch:
                self._change(row, holder="", lease_until=0.0)

    def append(self, run: str, epoch: int, records: Sequence[Record]) -> None:
        """Append all records, or none."""
        if not records:
            return
        refusals.check_batch(run, epoch, records)
        with self._home.lock:
            row = self._existing(run)
            if row.epoch != epoch:
                raise refusals.lost(row, epoch)
            if records[0].seq != row.last_seq + 1:
                raise refusals.misplaced(row, records[0].seq)
            self._home.records[run].extend(records)
            self._change(row, last_seq=records[-1].seq)

    def read(self, run: str, after_seq: int = 0) -> Iterator[Record]:
        """Yield the run's records in order, as they were when this was called."""
        with self._home.lock:
            self._existing(run)
            return iter(self._home.records[run][after_seq:])

    def row(self, run: str) -> RunRow:
        """Return the run's row."""
        with self._home.lock:
            return self._existing(run)

    def rows(self) -> list[RunRow]:
        """Return all runs, oldest first."""
        with self._home.lock:
            self._check_open()
            return sorted(self._home.rows.values(), key=lambda row: (row.created_at, row.id))

    def listed(self) -> list[tuple[RunRow, str]]:
        """Return all runs, oldest first; none of them is damaged."""
        return [(row, "") for row in self.rows()]

    def references(self, run: str) -> Iterator[str]:
        """Yield nothing: large events lie in memory like all others."""
        with self._home.lock:
            self._existing(run)
        return iter(())

    def verify(self, run: str) -> Iterator[Damage]:
        """Yield nothing: memory that is damaged tells nobody."""
        with self._home.lock:
            self._existing(run)
        return iter(())

    def restore(self, row: RunRow, records: Sequence[Record]) -> None:
        """Add a run with its whole history."""
        refusals.check_history(row, records)
        with self._home.lock:
            self._check_open()
            if row.id in self._home.rows:
                raise refusals.exists(row.id, _PLACE)
            self._home.rows[row.id] = msgspec.structs.replace(row, holder="", lease_until=0.0)
            self._home.records[row.id] = list(records)

    def remove(self, run: str, *, now: float) -> None:
        """Forget a run that nobody holds."""
        with self._home.lock:
            row = self._existing(run)
            if row.is_held(now):
                raise refusals.held(row, now)
            del self._home.rows[run], self._home.records[run]
            self._home.consumed.update(signal.id for signal in self._waiting(run))

    def signal(self, run: str, kind: str, by: str, *, at: float, body: str = "") -> None:
        """Leave a request for the run's driver."""
        with self._home.lock:
            self._existing(run)
            number = len(self._home.signals) + 1
            self._home.signals.append((run, Signal(number, kind, by, at, body)))

    def signals(self, run: str) -> list[Signal]:
        """Return requests that no driver has consumed, oldest first."""
        with self._home.lock:
            self._check_open()
            return self._waiting(run)

    def consume(self, run: str, epoch: int, signal: int) -> None:
        """Mark a request as taken up."""
        with self._home.lock:
            row = self._existing(run)
            if row.epoch != epoch:
                raise refusals.lost(row, epoch)
            if signal not in [waiting.id for waiting in self._waiting(run)]:
                raise JournalError(f"run {run}: there is no waiting signal {signal} in {_PLACE}")
            self._home.consumed.add(signal)

    def close(self) -> None:
        """Refuse every further call on this handle."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError(f"{_PLACE} has been closed. Open it again")

    def _existing(self, run: str) -> RunRow:
        self._check_open()
        row = self._home.rows.get(run)
        if row is None:
            raise refusals.unknown(run, _PLACE)
        return row

    def _waiting(self, run: str) -> list[Signal]:
        home = self._home
        return [s for of_run, s in home.signals if of_run == run and s.id not in home.consumed]

    def _change(self, row: RunRow, **changes: object) -> None:
        self._home.rows[row.id] = msgspec.structs.replace(row, **changes)
