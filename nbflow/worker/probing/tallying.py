"""What an attempt has used in all: the sum of its samples, and of what lay between them."""

from typing import NamedTuple

from nbflow.core.usage import Usage, UsageSum
from nbflow.worker.probing.processes import Totals


class Latest(NamedTuple):
    """What one process tree has used since its beginning."""

    totals: Totals = Totals()
    network_bytes: int | None = None


class Tally:
    """Sums up one attempt, which may have one kernel after the other."""

    def __init__(self) -> None:
        self._samples = 0
        self._seconds = 0.0
        self._memory_seconds = 0.0
        self._watched_cpu_s = 0.0
        self._cpu_percent_peak = 0.0
        self._memory_bytes = 0
        self._memory_peak = 0
        self._threads_peak = 0
        self._processes_peak = 0
        self._gpu_seconds = 0.0
        self._gpu_percent_seconds = 0.0
        self._gpu_memory_peak: int | None = None
        #: Of process trees that have ended, and of the present one.
        self._ended = Latest()
        self._latest = Latest()
        self._looked = False

    def sample(self, usage: Usage, seconds: float) -> None:
        """Add a sample that holds for so many seconds."""
        self._samples += 1
        self._seconds += seconds
        self._memory_seconds += usage.memory_bytes * seconds
        self._watched_cpu_s += usage.cpu_percent / 100 * seconds
        self._cpu_percent_peak = max(self._cpu_percent_peak, usage.cpu_percent)
        if usage.gpu_percent is not None:
            self._gpu_seconds += seconds
            self._gpu_percent_seconds += usage.gpu_percent * seconds
        if usage.gpu_memory_bytes is not None:
            self._gpu_memory_peak = max(self._gpu_memory_peak or 0, usage.gpu_memory_bytes)

    def look(self, latest: Latest) -> None:
        """Note what the present tree has used by now."""
        self._looked = True
        self._latest = latest
        totals = latest.totals
        self._memory_bytes = totals.memory_bytes
        self.peaked(totals.memory_bytes)
        self._threads_peak = max(self._threads_peak, totals.threads)
        self._processes_peak = max(self._processes_peak, totals.processes)

    def peaked(self, memory_bytes: int) -> None:
        """Note how much memory the tree, or its first process, has had at some time."""
        self._memory_peak = max(self._memory_peak, memory_bytes)

    def tree_ended(self) -> None:
        """Keep what the present tree has used: another one may follow."""
        before, last = self._ended, self._latest
        self._ended = Latest(
            Totals(
                cpu_s=before.totals.cpu_s + last.totals.cpu_s,
                read_bytes=before.totals.read_bytes + last.totals.read_bytes,
                written_bytes=before.totals.written_bytes + last.totals.written_bytes,
                io_wait_s=before.totals.io_wait_s + last.totals.io_wait_s,
            ),
            _added(before.network_bytes, last.network_bytes),
        )
        self._latest = Latest()

    def sum(self) -> UsageSum | None:
        """Return what has been used; None if nobody has been able to look."""
        if not self._looked and not self._samples:
            return None
        self.tree_ended()
        totals = self._ended.totals
        seconds = self._seconds or 1.0
        return UsageSum(
            samples=self._samples,
            cpu_s=round(totals.cpu_s, 3),
            cpu_percent_mean=round(self._watched_cpu_s / seconds * 100, 1),
            cpu_percent_peak=round(self._cpu_percent_peak, 1),
            # Of what was too short for a sample, the one look at its end.
            memory_bytes_mean=round(self._memory_seconds / seconds) or self._memory_bytes,
            memory_bytes_peak=self._memory_peak,
            threads_peak=self._threads_peak,
            processes_peak=self._processes_peak,
            read_bytes=totals.read_bytes,
            written_bytes=totals.written_bytes,
            io_wait_s=round(totals.io_wait_s, 3),
            network_bytes=self._ended.network_bytes,
            gpu_percent_mean=(
                round(self._gpu_percent_seconds / self._gpu_seconds, 1)
                if self._gpu_seconds
                else None
            ),
            gpu_memory_bytes_peak=self._gpu_memory_peak,
        )


def _added(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
