"""Why a journal says no, in words: shared by every adapter, so that all refuse alike."""

from collections.abc import Sequence
from datetime import UTC, datetime

from nbflow.core.errors import JournalError, LostLease, RunExists, RunHeld, UnknownRun
from nbflow.core.events import Record
from nbflow.ports import RunRow


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
