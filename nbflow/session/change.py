"""Waking the threads of this process that watch a run."""

import threading


class Change:
    """Wakes the threads that watch a run. One signal may stand for many changes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self._seen = threading.local()

    def notify(self) -> None:
        """Say that something has changed."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a change that this thread has not seen yet."""
        with self._condition:
            seen = getattr(self._seen, "count", -1)
            changed = self._condition.wait_for(lambda: self._count != seen, timeout_s)
            self._seen.count = self._count
            return changed
