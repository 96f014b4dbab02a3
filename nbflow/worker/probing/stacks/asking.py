"""Have a kernel's handler write down where its threads stand.

The signal goes to one thread. It is over when it is neither pending nor blocked there any more (a
handler's own signal is blocked while it runs) and something has been written: that order leaves no
gap, since the handler writes before it returns.
"""

import ctypes
import os
import platform
import time
from pathlib import Path

from nbflow.kernels.answering import SIGNAL
from nbflow.worker.probing.files import read
from nbflow.worker.probing.targets import UNREADABLE

#: How long an answer may take: the thread has to get a processor first.
_ANSWER_S = 1.0
#: How often it is looked for: at first, and then ever less.
_FIRST_LOOK_S, _LAST_LOOK_S = 0.0005, 0.02
_BIT = 1 << (SIGNAL - 1)
#: The number of `tgkill`, which Python does not have.
_TGKILL = {"x86_64": 234, "aarch64": 131, "riscv64": 131}.get(platform.machine())
_LONGEST_DUMP_BYTES = 1 << 20


class NoAnswer(Exception):
    """There is no stack, for this reason."""


class Asker:
    """Asks one kernel.

    Parameters
    ----------
    pid
        Its process.
    file
        To where its handler writes.
    """

    def __init__(self, pid: int, file: Path) -> None:
        self._pid = pid
        self._file = file
        #: The number of the kernel's descriptor for the file.
        self._descriptor: str | None = None

    def ask(self) -> str:
        """Return what the handler writes.

        Raises
        ------
        NoAnswer
            If it writes nothing, or must not be asked.
        """
        self._check()
        os.truncate(self._file, 0)
        self._send()
        deadline = time.monotonic() + _ANSWER_S
        pause_s = _FIRST_LOOK_S
        while not self._has_answered():
            if time.monotonic() > deadline:
                raise NoAnswer(f"the kernel has not answered within {_ANSWER_S:g} s")
            # The end of a handler in another process is nothing that can be awaited.
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_LOOK_S)
        return self._file.read_bytes()[:_LONGEST_DUMP_BYTES].decode(errors="replace")

    def _check(self) -> None:
        """See that the signal will be answered: without a handler, it would end the kernel.

        Raises
        ------
        NoAnswer
            If not.
        """
        if _TGKILL is None:
            raise NoAnswer(f"kernels cannot be asked on {platform.machine()}")
        masks = self._masks()
        if not masks[b"SigCgt"] & _BIT:
            raise NoAnswer("the kernel does not answer: its handler is gone")
        if masks[b"SigPnd"] & _BIT:
            # It would be asked again and again when it wakes up.
            raise NoAnswer("the kernel has not answered when it was asked before")
        # What is written to a descriptor that was closed, and opened again, is somebody else's.
        if not self._writes_to_file():
            raise NoAnswer("the kernel does not answer: it has closed its file for that")

    def _writes_to_file(self) -> bool:
        place = f"/proc/{self._pid}/fd"
        try:
            names = [self._descriptor] if self._descriptor else os.listdir(place)  # noqa: PTH208 - pathlib is slower
            for name in names:
                if os.readlink(f"{place}/{name}") == str(self._file):  # noqa: PTH115 - pathlib is slower
                    self._descriptor = name
                    return True
        except OSError:
            return False
        return False

    def _send(self) -> None:
        if ctypes.CDLL(None, use_errno=True).syscall(_TGKILL, self._pid, self._pid, SIGNAL) != 0:
            raise NoAnswer(f"the kernel cannot be asked: {os.strerror(ctypes.get_errno())}")

    def _has_answered(self) -> bool:
        if self._file.stat().st_size == 0:
            return False
        masks = self._masks()
        return not (masks[b"SigPnd"] | masks[b"SigBlk"]) & _BIT

    def _masks(self) -> dict[bytes, int]:
        """Return which signals are pending, blocked and handled in the kernel's first thread.

        Raises
        ------
        NoAnswer
            If it has ended.
        """
        try:
            data = read(f"/proc/{self._pid}/task/{self._pid}/status".encode())
        except UNREADABLE as error:
            raise NoAnswer("the kernel has ended") from error
        lines = (line.partition(b":\t") for line in data.split(b"\n"))
        return {
            name: int(value, 16)
            for name, _, value in lines
            if name.startswith(b"Sig") and name != b"SigQ"
        }
