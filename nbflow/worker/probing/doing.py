"""What the thread that runs a cell does: whether it runs, and if not, what it waits for."""

from typing import ClassVar

from nbflow.core.usage import Doing, ThreadState
from nbflow.worker.probing.calls import Call, Waiting, calls_by_number
from nbflow.worker.probing.files import KeptFiles, read
from nbflow.worker.probing.processes import Denied
from nbflow.worker.probing.targets import target_of

#: A waiting thread that uses a processor for more than this share of the time gets on.
_MOMENT = 0.05
_STATES: dict[str, ThreadState] = {
    "R": "running",
    "S": "sleeping",
    "D": "disk",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
    "X": "zombie",
    "I": "sleeping",
}
_CALLS: dict[int, Call] = calls_by_number()


class ThreadWatch:
    """Follows one thread from look to look.

    Parameters
    ----------
    pid, thread
        The process and its thread.
    denied
        Called with the path of a file that may not be read.
    files
        Keeps the thread's file open.
    """

    calls: ClassVar[dict[int, Call]] = _CALLS

    def __init__(
        self, pid: int, thread: int, denied: Denied, files: KeptFiles | None = None
    ) -> None:
        self._files = files
        self._pid = pid
        self._thread = thread
        self._denied = denied
        self._cpu_s = 0.0
        self._now = 0.0
        self._since = 0.0
        self._key: tuple[str, ...] = ()
        self._seen: tuple[object, ...] = ()
        self._target = ""
        #: What the system said last, and what that means: mostly it says the same again.
        self._said: tuple[bytes, Waiting | None] = (b"", None)

    def look(self, state: str, cpu_s: float, now: float, family: tuple[int, ...] = ()) -> Doing:
        """Return what the thread does.

        Parameters
        ----------
        state, cpu_s
            Its state and the processor time that it has used, as the system tells.
        now
            Seconds of a clock that nobody sets.
        family
            Its process and that one's descendants.
        """
        known = _STATES.get(state, "unknown")
        waiting = self.waiting() if known in ("sleeping", "disk") else None
        if waiting is not None and waiting.call is not None:
            self._find_target(waiting, family, known)
        else:
            self._seen, self._target = (), ""
        name = waiting.name if waiting is not None else ""
        self._follow((known, name, self._target), cpu_s, now)
        return Doing(
            state=known,
            call=name,
            target=self._target,
            timed=waiting is not None and waiting.is_timed,
            since_s=max(0.0, now - self._since),
        )

    def waiting(self) -> Waiting | None:
        """Return where the thread waits; None if it does not, or nobody may know."""
        path = f"/proc/{self._pid}/task/{self._thread}/syscall"
        try:
            data = read(path.encode()) if self._files is None else self._files.read(path)
            if data != self._said[0]:
                self._said = (data, Waiting.parse(data, self.calls))
            return self._said[1]
        except PermissionError:
            self._denied(path)
        except (OSError, ValueError):
            pass  # It has ended.
        return None

    def _find_target(self, waiting: Waiting, family: tuple[int, ...], state: ThreadState) -> None:
        """Find out what the call concerns, unless it is the very same one as before."""
        seen = (waiting.name, waiting.arguments, waiting.stack_pointer, family)
        if seen != self._seen:
            self._seen = seen
            self._target = target_of(self._pid, waiting, family, touching=state == "sleeping")

    def _follow(self, key: tuple[str, ...], cpu_s: float, now: float) -> None:
        """Note since when it has been so."""
        used_s, passed_s = cpu_s - self._cpu_s, now - self._now
        got_on = key[0] != "running" and used_s > _MOMENT * max(passed_s, 1.0)
        if key != self._key or got_on:
            # Between two looks nobody knows when; it was not so at the one before.
            self._since = now
        self._key, self._cpu_s, self._now = key, cpu_s, now
