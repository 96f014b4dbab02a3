"""What an attempt prints, while it prints it: into files, and to who listens.

A file gets everything. Who listens gets the beginning of what each fifth of a second has brought:
that is telemetry, which must not fill the scheduler, and nobody reads a megabyte a second. What
either gets is masked, since it is heard behind the mask.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TextIO, TypeAlias

from nbformat import NotebookNode

from nbflow.core.attempts import Printed
from nbflow.core.ids import AttemptId
from nbflow.core.spec import PapermillForm

Stream: TypeAlias = Literal["stdout", "stderr", "result"]

#: How long what was printed waits for more, in seconds.
FLUSH_S = 0.2
#: Characters that are reported of what one such wait has brought.
REPORT_LENGTH = 16_000
#: The "cell" of a function.
NO_CELL = -1


class Printing:
    """The prints of one attempt. Used in the event loop only; `close` ends it.

    Parameters
    ----------
    attempt
        Whose cells they are.
    form
        Names the files. They are written where they exist: whoever wants them has made them, so a
        worker that does not see them is on another machine.
    report
        Receives what is printed; None if nobody listens.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        attempt: AttemptId,
        form: PapermillForm,
        report: Callable[[Printed], None] | None,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._batch = Batch(attempt, clock)
        self._report = report
        self._files: dict[Stream, TextIO] = {}
        #: Why a file lacks something of what was printed; empty if none does.
        self.problem = ""
        self._open("stdout", form.stdout_file)
        self._open("stderr", form.stderr_file)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def heard(self) -> Callable[[int, NotebookNode], None] | None:
        """What is to be called with each output; None if nobody wants to know."""
        return self._hear if self._files or self._report is not None else None

    def close(self) -> None:
        """Hand on what is left, and close the files."""
        self._flush()
        for name in tuple(self._files):
            self._do(name, lambda file: file.close())
        self._files.clear()

    def _open(self, name: Stream, path: str | None) -> None:
        if path is None or not Path(path).is_file():
            return
        try:
            # Of an earlier attempt nothing is left, as in the executed notebook. A cell may print
            # half a character.
            file = Path(path).open("w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - until `close`
            self._files[name] = file
        except OSError as error:
            self._fail(name, error)

    def _hear(self, index: int, output: NotebookNode) -> None:
        if output.output_type == "stream":
            name: Stream = "stderr" if output.name == "stderr" else "stdout"
            text = str(output.text)
            self._do(name, lambda file: file.write(text))
            self._note(index, name, text)
        elif output.output_type == "error":
            self._note(index, "stderr", "\n".join([*output.traceback, ""]))
        elif "text/plain" in output.get("data", {}):
            self._note(index, "result", f"{output.data['text/plain']}\n")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _note(self, index: int, name: Stream, text: str) -> None:
        if self._report is not None:
            self._batch.add(index, name, text)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in tuple(self._files):
            self._do(name, lambda file: file.flush())
        for printed in self._batch.take():
            assert self._report is not None
            self._report(printed)

    def _do(self, name: Stream, action: Callable[[TextIO], object]) -> None:
        """Do something with a file, if there is one and it has not failed."""
        if name not in self._files:
            return
        try:
            action(self._files[name])
        except OSError as error:
            self._fail(name, error)

    def _fail(self, name: Stream, error: OSError) -> None:
        failed = self._files.pop(name, None)
        if failed is not None:
            # What it still holds cannot be written either, and says so once more.
            with suppress(OSError):
                failed.close()
        self.problem = self.problem or (
            f"what the cells print cannot be written to the file for {name}: {error.strerror}. "
            "Free some space, or name another file"
        )


class LivePrinting:
    """What a function prints, told as it comes. `hear` may be called in any thread.

    Parameters
    ----------
    attempt
        Whose function it is.
    report
        Receives what is printed, in the loop.
    clock
        Seconds since the epoch.
    loop
        Runs now.
    """

    def __init__(
        self,
        attempt: AttemptId,
        report: Callable[[Printed], None],
        *,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._report = report
        self._loop = loop
        self._batch = Batch(attempt, clock, "the log of the node has more")
        # Guards the batch, and whether it will be told.
        self._lock = threading.Lock()
        self._due = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    def hear(self, name: Stream, text: str) -> None:
        """Take in what was printed."""
        with self._lock:
            if self._closed:
                return
            self._batch.add(NO_CELL, name, text)
            if self._due:
                return
            self._due = True
        # A function that was given up may print after the end of its worker's loop.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wait)

    def close(self) -> None:
        """Tell what is left, and nothing any more. In the loop."""
        self._flush()
        with self._lock:
            self._closed = True

    def _wait(self) -> None:
        if self._timer is None and self._due:
            self._timer = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with self._lock:
            told = self._batch.take()
            self._due = False
        for printed in told:
            self._report(printed)


class Batch:
    """What is printed within a short time, up to a limit."""

    def __init__(
        self,
        attempt: AttemptId,
        clock: Callable[[], float],
        rest: str = "the executed notebook has them",
    ) -> None:
        self._attempt = attempt
        self._clock = clock
        #: Where all of it is.
        self._rest = rest
        self._waiting: list[tuple[int, Stream, float, list[str]]] = []
        self._room = REPORT_LENGTH
        self._left_out = 0

    def add(self, index: int, name: Stream, text: str) -> None:
        """Add what the cell `index` has printed, as far as there is room."""
        kept = text[: self._room]
        self._room -= len(kept)
        self._left_out += len(text) - len(kept)
        if not kept:
            return
        if not self._waiting or self._waiting[-1][:2] != (index, name):
            self._waiting.append((index, name, self._clock(), []))
        self._waiting[-1][3].append(kept)

    def take(self) -> list[Printed]:
        """Return what has been added, and begin anew."""
        if self._left_out:
            pieces = self._waiting[-1][3]
            start = "" if pieces[-1].endswith("\n") else "\n"
            note = f"[… {self._left_out:,} characters more; {self._rest}]\n"
            pieces.append(start + note)
        told = [
            Printed(self._attempt, index, name, "".join(pieces), at)
            for index, name, at, pieces in self._waiting
        ]
        self._waiting, self._room, self._left_out = [], REPORT_LENGTH, 0
        return told
