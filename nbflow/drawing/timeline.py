"""What ran when, and where: attempts as bars, in lanes by worker.

It is made from the story of a run alone, so it shows what happened, however long ago: all attempts
of all nodes, the lost ones, too. A worker has as many lanes as it had attempts at once. Before it
ran, an attempt waited in the queue for a worker that was not known yet; that time is drawn in the
lane in which it ran later, as far as nothing else ran there.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.events import Record

#: How an attempt ended: ``open`` if it has not, as far as the story goes.
Ending: TypeAlias = Literal["succeeded", "failed", "lost", "cancelled", "in_doubt", "open"]


class Bar(msgspec.Struct, frozen=True):
    """One attempt. Times are seconds since the epoch.

    Parameters
    ----------
    started_at
        None if no worker has announced it: it was in the queue all the time.
    """

    node: str
    attempt: int
    worker: str
    queued_at: float
    started_at: float | None
    ended_at: float
    ending: Ending

    @property
    def queued_s(self) -> float:
        """Seconds in the queue."""
        until = self.ended_at if self.started_at is None else self.started_at
        return max(0.0, until - self.queued_at)

    @property
    def ran_s(self) -> float:
        """Seconds on the worker."""
        return 0.0 if self.started_at is None else max(0.0, self.ended_at - self.started_at)


class Lane(msgspec.Struct, frozen=True):
    """Attempts that followed each other on one worker; its address is empty if they had none."""

    worker: str
    bars: tuple[Bar, ...]


def bars_of(records: Iterable[Record], now: float) -> list[Bar]:
    """Return the attempts that `records` tell of, in the order of their scheduling.

    Parameters
    ----------
    records
        All of a run, or of one node.
    now
        The end of what has not ended, in seconds since the epoch.
    """
    bars: dict[tuple[str, int], Bar] = {}
    for record in records:
        key = (record.node or "", record.attempt or 0)
        if isinstance(record.event, ev.AttemptScheduled):
            bars[key] = Bar(*key, "", record.at, None, max(now, record.at), "open")
        elif key in bars and bars[key].ending == "open":
            bars[key] = _continued(bars[key], record)
    return list(bars.values())


def lanes_of(bars: Sequence[Bar]) -> list[Lane]:
    """Put the attempts into as few lanes as hold them, worker by worker."""
    by_worker: dict[str, list[Bar]] = {}
    for bar in sorted(bars, key=_begin):
        by_worker.setdefault(bar.worker, []).append(bar)
    # What never had a worker comes last.
    named = sorted(by_worker, key=lambda worker: (worker == "", _begin(by_worker[worker][0])))
    return [Lane(worker, tuple(bars)) for worker in named for bars in _packed(by_worker[worker])]


def _continued(bar: Bar, record: Record) -> Bar:
    replace = msgspec.structs.replace
    match record.event:
        case ev.AttemptStarted(worker=worker, started_at=started_at):
            # The clock of a worker may be behind the driver's.
            return replace(bar, worker=worker, started_at=max(started_at, bar.queued_at))
        case ev.AttemptSucceeded(started_at=started_at, ended_at=ended_at):
            return _ended(bar, "succeeded", ended_at, started_at)
        case ev.AttemptFailed(started_at=started_at, ended_at=ended_at):
            return _ended(bar, "failed", ended_at or record.at, started_at)
        case ev.AttemptLost():
            return _ended(bar, "lost", record.at, None)
        case ev.AttemptInDoubt():
            return _ended(bar, "in_doubt", record.at, None)
        case ev.NodeCancelled():
            return _ended(bar, "cancelled", record.at, None)
        case _:
            return bar


def _ended(bar: Bar, ending: Ending, at: float, started_at: float | None) -> Bar:
    began = bar.started_at if bar.started_at is not None else started_at
    began = None if began is None else max(began, bar.queued_at)
    return msgspec.structs.replace(
        bar, started_at=began, ended_at=max(at, began or bar.queued_at), ending=ending
    )


def _begin(bar: Bar) -> float:
    return bar.queued_at if bar.started_at is None else bar.started_at


def _packed(bars: Sequence[Bar]) -> list[list[Bar]]:
    """Put bars, which are sorted by their begin, each into the first lane that is free."""
    lanes: list[list[Bar]] = []
    for bar in bars:
        free = next((lane for lane in lanes if lane[-1].ended_at <= _begin(bar)), None)
        if free is None:
            lanes.append([bar])
        else:
            free.append(bar)
    return lanes
