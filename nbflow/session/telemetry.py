"""What those who follow a run from elsewhere see of it, besides its facts.

Facts are in the journal. Which cell runs, what it uses, where a silent one stands, workers, remarks
about the cluster, and the dashboard's address are not worth recording: they stand in a small file,
``telemetry.json`` in the run's folder of the home. The process that drives the run replaces it when
something has changed, at most about twice a second, from a thread of its own, and removes it when
it lets go of the run. Nothing depends on the file: one that is missing, stale or damaged costs
followers what it tells, and nothing else. It names the epoch of its driver, so that nobody
believes what a killed driver has left behind.
"""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from nbflow.core.attempts import Progress, WorkerState
from nbflow.core.stacks import Stack
from nbflow.core.states import IN_FLIGHT
from nbflow.core.usage import Usage, with_sample
from nbflow.core.view import RunView
from nbflow.drawing.watch import Watcher
from nbflow.session.change import Change
from nbflow.session.replacing import replace_file

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Name of the file in the run's folder.
FILE = "telemetry.json"

#: Least time between two writings, and longest time between two looks, in seconds.
_INTERVAL_S, _IDLE_S = 0.5, 10.0
#: The last remarks, and the last samples of each node, that are handed on.
_NOTES, _SAMPLES = 50, 10


class Telemetry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a driver knows of its run beyond the journal, at one moment."""

    #: The fence of the driver that says so.
    epoch: int
    #: Cell progress of the nodes that have an attempt now.
    progress: dict[str, Progress] = {}
    #: The latest samples of each of them, oldest first.
    usage: dict[str, tuple[Usage, ...]] = {}
    #: The latest stacks of those that are silent.
    stacks: dict[str, Stack] = {}
    workers: tuple[WorkerState, ...] | None = None
    dashboard: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, view: RunView) -> "Telemetry":
        """Return what `view` has of it."""
        nodes = view.run.nodes

        def current(told: Mapping[str, _T]) -> dict[str, _T]:
            return {name: each for name, each in told.items() if nodes[name].state in IN_FLIGHT}

        return cls(
            view.run.epoch,
            progress=current(view.progress),
            usage={name: samples[-_SAMPLES:] for name, samples in current(view.usage).items()},
            stacks=current(view.stacks),
            workers=view.workers,
            dashboard=view.dashboard,
            notes=view.notes[-_NOTES:],
        )


class Publisher:
    """Keeps the file up to date for as long as its context lasts.

    Parameters
    ----------
    path
        The file; its folder is made.
    view
        Gives the run as it stands; called from another thread.
    change
        Tells when that may have changed.
    """

    def __init__(self, path: Path, view: Callable[[], RunView], change: Change) -> None:
        self._path = path
        self._change = change
        self._written = b""
        self._watcher = Watcher(
            view,
            change.wait,
            self._write,
            interval_s=_INTERVAL_S,
            idle_s=_IDLE_S,
            name="nbflow-telemetry",
            failed=self._give_up,
        )

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The watcher looks whether it is to end after each change; this one lets it look at once.
        self._change.notify()
        self._watcher.stop()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as trouble:
            _log.debug("the telemetry stays behind: %s", trouble)

    def _write(self, view: RunView) -> None:
        data = msgspec.json.encode(Telemetry.of(view))
        if data == self._written:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, data)
        self._written = data

    def _give_up(self, error: Exception) -> None:
        _log.warning("progress within nodes is not shown elsewhere: %s", error)


class Subscriber:
    """Reads the file, and only if it has been replaced since.

    Parameters
    ----------
    path
        The file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int] | None = None
        self._latest: Telemetry | None = None

    def stamp(self) -> tuple[int, int] | None:
        """Return what changes whenever the file does; None without one."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - several times a second
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def latest(self, epoch: int) -> Telemetry:
        """Return what the driver of `epoch` has told last; nothing if it has told nothing."""
        stamp = self.stamp()
        # What was read before counts on when the file goes, which it does with the driver.
        if stamp is not None and stamp != self._read:
            self._read = stamp
            try:
                told = msgspec.json.decode(self._path.read_bytes(), type=Telemetry)
            except (OSError, msgspec.MsgspecError) as error:
                _log.debug("no telemetry in %s: %s", self._path, error)
            else:
                self._latest = _joined(self._latest, told)
        if self._latest is None or self._latest.epoch != epoch:
            return Telemetry(epoch)
        return self._latest


def _joined(earlier: Telemetry | None, told: Telemetry) -> Telemetry:
    """Return `told` with the samples that were read before, which the file has no more."""
    if earlier is None or earlier.epoch != told.epoch:
        return told
    usage = {
        name: _more(earlier.usage[name], samples) if name in earlier.usage else samples
        for name, samples in told.usage.items()
    }
    return msgspec.structs.replace(told, usage=usage)


def _more(samples: tuple[Usage, ...], latest: tuple[Usage, ...]) -> tuple[Usage, ...]:
    last_at = samples[-1].at if samples else 0.0
    for sample in latest:
        if sample.at > last_at:
            samples = with_sample(samples, sample)
    return samples
