"""The files of ``--stdout-file`` and ``--stderr-file``."""

import sys
from pathlib import Path
from typing import TextIO

import click

from nbflow.cli.as_papermill import PapermillOptions
from nbflow.cli.paths import STREAM, is_special


class PrintFiles:
    """The files for what cells print, made and emptied.

    Plain files are for the worker, which has everything that is printed. What only this process can
    write (its own standard output, a device, a pipe) it writes itself, as far as it hears of it.

    Parameters
    ----------
    asked
        papermill's options.

    Raises
    ------
    click.UsageError
        If one of them cannot be written.
    """

    def __init__(self, asked: PapermillOptions) -> None:
        #: Absolute paths of the plain files, by stream.
        self.plain: dict[str, str] = {}
        #: The others, open, by stream.
        self.own: dict[str, TextIO] = {}
        if asked.stdout_file is not None and asked.stdout_file == asked.stderr_file != STREAM:
            raise click.UsageError("--stdout-file and --stderr-file must be two files")
        for stream, path in (("stdout", asked.stdout_file), ("stderr", asked.stderr_file)):
            if path is not None:
                self._add(stream, path)

    def close(self) -> None:
        """Close those that this process has opened."""
        for file in self.own.values():
            if file is not sys.stdout:
                file.close()

    def _add(self, stream: str, path: str) -> None:
        if path == STREAM:
            self.own[stream] = sys.stdout
            return
        try:
            file = Path(path).open("w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - until `close`
        except OSError as error:
            hint = f"--{stream}-file {path}"
            raise click.BadParameter(
                f"cannot be written: {error.strerror}", param_hint=hint
            ) from error
        if is_special(path):
            self.own[stream] = file
        else:
            file.close()
            self.plain[stream] = str(Path(path).absolute())
