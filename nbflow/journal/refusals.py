"""Why a journal says no, in words: shared by every adapter, so that all refuse alike."""

from collections.abc import Sequence
from datetime import UTC, datetime

from nbflow.core.errors import JournalError, LostLease, RunExists, RunHeld, UnknownRun
from nbflow.core.events import Record
from nbflow.ports import MAX_LEASE_S, RunRow


def unknown(run: str, place: str) -> UnknownRun:
    """There is no such run."""
    return UnknownRun(f"{place} has no run {run!r}. `nbflow runs` lists those it has")


def exists(run: str, place: str) -> RunExists:
    """The run's id is taken."""
    return RunExists(
        f"{place} has a run {run!r} already. Continue it with `nbflow resume {run}`, "
        "or choose another run id"
    )


def held(row: RunRow, now: float) -> RunHeld:
    """Somebody drives the run."""
    until = datetime.fromtimestamp(row.lease_until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    left_s = max(0.0, row.lease_until - now)
    return RunHeld(
        f"run {row.id} is held by {row.holder} until {until} (in {left_s:.0f} s), and that "
        "renews as long as the process lives. Watch it with `nbflow show`, or stop it with "
        f"`nbflow cancel {row.id}`; if that process is dead, try again after that time"
    )


def lost(row: RunRow, epoch: int) -> LostLease:
    """The run has another driver by now, or this one has let go."""
    if row.epoch != epoch:
        now_held = f"{row.holder or 'another driver'} has taken over with epoch {row.epoch}"
    else:
        now_held = "the lease was given back"
    return LostLease(
        f"run {row.id}: the driver of epoch {epoch} no longer holds it: {now_held}. "
        f"Nothing was written; follow the run with `nbflow show {row.id}`"
    )


def misplaced(row: RunRow, first_seq: int) -> JournalError:
    """The records do not continue the run's sequence."""
    return JournalError(
        f"run {row.id}: the journal ends at seq {row.last_seq}, so seq {first_seq} cannot be "
        "appended. Resume the run: its state is read anew from the journal"
    )


def missing(place: str, run: str, seq: int, evidence: str) -> JournalError:
    """A record is not there."""
    return JournalError(
        f"{place}, run {run}, seq {seq}: the record is missing ({evidence}). "
        "Restore the journal from a backup; records before this one are intact"
    )


def damaged_row(run: str, place: str) -> JournalError:
    """The run's row is not as it was written."""
    return JournalError(
        f"{place}, run {run}: its row in the list of runs is damaged. Restore the journal from a "
        "backup; `nbflow verify` looks at its records, and removing the run frees the others of it"
    )


def miscounted(place: str, run: str, counted: int, seq: int) -> JournalError:
    """The run's row does not count a record that is there."""
    return JournalError(
        f"{place}, run {run}: its row in the list of runs is damaged: it counts {counted} records, "
        f"and there is one with seq {seq}. Restore the journal from a backup"
    )


def check_batch(run: str, epoch: int, records: Sequence[Record]) -> None:
    """Refuse records that are not consecutive ones of `run` under `epoch`.

    Raises
    ------
    JournalError
        If they are not; nothing can be appended then.
    """
    for seq, record in enumerate(records, records[0].seq):
        if (record.run, record.epoch, record.seq) != (run, epoch, seq):
            raise JournalError(
                f"run {run}: expected a record with seq {seq} and epoch {epoch}, got "
                f"{record.type} of run {record.run} with seq {record.seq} and epoch {record.epoch}"
            )


def check_history(row: RunRow, records: Sequence[Record]) -> None:
    """Refuse records that are not the whole history that `row` tells of.

    Raises
    ------
    JournalError
        If they are not; nothing can be restored then.
    """
    epoch = 0
    for seq, record in enumerate(records, 1):
        if (record.run, record.seq) != (row.id, seq) or record.epoch < epoch:
            raise JournalError(
                f"run {row.id}: expected a record with seq {seq} and an epoch from {epoch} on, got "
                f"{record.type} of run {record.run} with seq {record.seq} and epoch {record.epoch}"
            )
        epoch = record.epoch
    if not records or row.last_seq != len(records) or row.epoch < epoch:
        raise JournalError(
            f"run {row.id}: {len(records)} records up to epoch {epoch} are not the history of a "
            f"run that ends at seq {row.last_seq} of epoch {row.epoch}"
        )


def check_ttl(ttl_s: float) -> None:
    """Refuse a lease of no time, or of more than any is granted for.

    Raises
    ------
    ValueError
        If `ttl_s` is such.
    """
    if not 0 < ttl_s <= MAX_LEASE_S:
        raise ValueError(f"a lease lasts up to {MAX_LEASE_S:g} s, not {ttl_s:g} s")
