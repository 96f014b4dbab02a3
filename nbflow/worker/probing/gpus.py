"""What processes use of NVIDIA's devices, where there are any and ``nvidia-ml-py`` is installed.

Where a container hides the real numbers of processes, the library's do not match ours; then nothing
is known of who uses what, and nothing is said.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from nbflow.worker.probing.processes import Moment


class GpuUse(NamedTuple):
    """What one tree of processes uses of all devices."""

    percent: float | None
    memory_bytes: int


class Gpus:
    """The devices of this machine, which are looked for at the first look."""

    def __init__(self) -> None:
        self._library: Any = None
        self._devices: list[Any] = []
        self._memory: dict[int, int] = {}
        self._percent: dict[int, float] = {}
        self._at_us = 0
        self._sought = False

    @property
    def any(self) -> bool:
        """Whether there are devices."""
        return bool(self._devices)

    def look(self, moment: Moment) -> None:
        """Take in what is used now."""
        if not self._sought:
            self._sought = True
            self._seek()
        self._memory, self._percent = {}, {}
        since_us, self._at_us = self._at_us, int(moment.at * 1e6)
        for device in self._devices:
            self._look_at_memory(device)
            if since_us:
                self._look_at_work(device, since_us)

    def use_of(self, pids: Iterable[int]) -> GpuUse | None:
        """Return what processes use together; None if none of them uses a device."""
        members = set(pids)
        memory = [self._memory[pid] for pid in members & self._memory.keys()]
        percent = [self._percent[pid] for pid in members & self._percent.keys()]
        if not memory and not percent:
            return None
        return GpuUse(sum(percent) if percent else None, sum(memory))

    def close(self) -> None:
        """Let go of the library."""
        if self._library is not None:
            self._library.nvmlShutdown()
        self._library, self._devices = None, []

    def _seek(self) -> None:
        try:
            import pynvml  # lazy: an extra, which few machines have a use for
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            self._library = pynvml
            count = pynvml.nvmlDeviceGetCount()
            self._devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except pynvml.NVMLError:
            self.close()

    def _look_at_memory(self, device: Any) -> None:
        try:
            running = self._library.nvmlDeviceGetComputeRunningProcesses(device)
        except self._library.NVMLError:
            return  # A device that does not tell.
        for process in running:
            # None: the driver hides it.
            used = process.usedGpuMemory or 0
            self._memory[process.pid] = self._memory.get(process.pid, 0) + used

    def _look_at_work(self, device: Any, since_us: int) -> None:
        try:
            samples = self._library.nvmlDeviceGetProcessUtilization(device, since_us)
        except self._library.NVMLError:
            return  # No process has used it since, or it does not tell.
        for sample in samples:
            self._percent[sample.pid] = self._percent.get(sample.pid, 0.0) + sample.smUtil
