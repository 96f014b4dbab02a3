"""Where slow work is done: looks that take a while, and what a person asks for by a click.

A click arrives in whatever thread Jupyter chooses, perhaps between two lines of a cell, so a click
only puts a job here. One thread does the jobs, one after the other. Of each
kind only the latest job is kept, so nothing grows however often it is asked for. The
thread starts with the first job, and ends when there was none for a while.
"""

import threading
from collections.abc import Callable
from typing import TypeAlias

Job: TypeAlias = Callable[[], None]

#: Seconds without a job after which the thread ends.
_LINGER_S = 5.0


class Desk:
    """A thread that does jobs in order, at most one of a kind at a time.

    Parameters
    ----------
    name
        The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def ask(self, kind: str, job: Job) -> None:
        """Have `job` done, in place of one of its kind that has not begun.

        A job tells of its own errors: there is nobody here to tell them to.
        """
        with self._changed:
            if self._closed:
                return
            self._jobs[kind] = job
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _main(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, _LINGER_S)
            if not self._jobs:
                # Under the lock: whoever asks next starts another thread.
                self._thread = None
                return None
            return self._jobs.pop(next(iter(self._jobs)))
