"""What is written behind a magic, parsed."""

import argparse
import shlex
from typing import NoReturn

import msgspec

from nbflow.magics.errors import Refused


class SendOptions(msgspec.Struct, frozen=True):
    """Options of ``%%nbflow_node``."""

    cluster: str = ""
    name: str = ""
    wait: bool = False
    timeout_s: float | None = None


class RunOptions(msgspec.Struct, frozen=True):
    """Options of ``%nbflow run``."""

    notebook: str = ""
    cluster: str = ""


class WaitOptions(msgspec.Struct, frozen=True):
    """Options of ``%nbflow wait``."""

    names: tuple[str, ...] = ()
    timeout_s: float | None = None


class _Parser(argparse.ArgumentParser):
    """A parser that neither prints nor ends the process."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}. {self.format_usage().strip()}")


def send_options(line: str) -> SendOptions:
    """Return what is written behind ``%%nbflow_node``.

    Raises
    ------
    Refused
        If it cannot be understood.
    """
    parser = _parser("%%nbflow_node")
    parser.add_argument("--cluster", default="", metavar="C")
    parser.add_argument("--name", default="")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("-t", "--timeout", type=_seconds, default=None, metavar="SECONDS")
    found = parser.parse_args(_words(line))
    if found.name and not found.name.isidentifier() and not _is_name(found.name):
        raise Refused(f"{found.name!r} cannot be the name of a node: use letters, digits, - and _")
    return SendOptions(found.cluster, found.name, found.wait, found.timeout)


def run_options(words: list[str]) -> RunOptions:
    """Return what is written behind ``%nbflow run``; errors as of `send_options`."""
    parser = _parser("%nbflow run")
    parser.add_argument("notebook", nargs="?", default="")
    parser.add_argument("--cluster", default="", metavar="C")
    found = parser.parse_args(words)
    return RunOptions(found.notebook, found.cluster)


def wait_options(words: list[str]) -> WaitOptions:
    """Return what is written behind ``%nbflow wait``; errors as of `send_options`."""
    parser = _parser("%nbflow wait")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("-t", "--timeout", type=_seconds, default=None, metavar="SECONDS")
    found = parser.parse_args(words)
    return WaitOptions(tuple(found.names), found.timeout)


def words_of(line: str) -> list[str]:
    """Return the words of a line, as a shell would; errors as of `send_options`."""
    return _words(line)


def _parser(name: str) -> _Parser:
    return _Parser(prog=name, add_help=False, allow_abbrev=False)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise Refused(f"{line}: {error}") from error


def _seconds(text: str) -> float:
    seconds = float(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError("seconds must be more than 0")
    return seconds


def _is_name(text: str) -> bool:
    from nbflow.core.ids import is_node_name

    return is_node_name(text) and "/" not in text
