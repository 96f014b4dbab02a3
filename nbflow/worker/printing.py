"""What the cells of an attempt print, while they print it: into files, and to who listens.

A file gets everything. Who listens gets the beginning of what each fifth of a second has brought:
that is telemetry, which must not fill the scheduler, and nobody reads a megabyte a second. What
either gets is masked, since it is heard behind the mask.
"""

import asyncio
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
    """

    def __init__(
        self, attempt: AttemptId, form: PapermillForm, report: Callable[[Printed], None] | None
    ) -> None:
        self._attempt = attempt
        self._report = report
        self._files: dict[Stream, TextIO] = {}
        #: Why a file lacks something of what was printed; empty if none does.
        self.problem = ""
        self._open("stdout", form.stdout_file)
        self._open("stderr", form.stderr_file)
        self._waiting: list[tuple[int, Stream, list[str]]] = []
        self._room = REPORT_LENGTH
        self._left_out = 0
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
        if self._report is None:
            return
        kept = text[: self._room]
        self._room -= len(kept)
        self._left_out += len(text) - len(kept)
        if not kept:
            return
        if not self._waiting or self._waiting[-1][:2] != (index, name):
            self._waiting.append((index, name, []))
        self._waiting[-1][2].append(kept)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in tuple(self._files):
            self._do(name, lambda file: file.flush())
        if self._left_out:
            pieces = self._waiting[-1][2]
            start = "" if pieces[-1].endswith("\n") else "\n"
            note = f"[… {self._left_out:,} characters more; the executed notebook has them]\n"
            pieces.append(start + note)
        for index, name, pieces in self._waiting:
            assert self._report is not None
            self._report(Printed(self._attempt, index, name, "".join(pieces)))
        self._waiting, self._room, self._left_out = [], REPORT_LENGTH, 0

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
