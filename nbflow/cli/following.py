"""``nbflow logs``: what nodes print, when they have ended or while they run.

Without options, it is what the executed notebook has, which is everything. All else comes from the
log files of the run (`nbflow.session.log_files`): they have every line with its time, of all
attempts, as it came; but of a flood only a part, and only the last megabytes of a node.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.options import examples, home_option, json_option, run_argument

if TYPE_CHECKING:
    from nbflow.core.view import RunView
    from nbflow.session import Run
    from nbflow.session.log_files import LogLine

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.

#: How often the files are looked at, in seconds: another process writes them.
_LOOK_S = 0.2
#: How long after a node's end its last line may still come, in seconds: one without a line break is
#: kept back for a second.
_LINGER_S = 1.5
#: Lines of each node with which following all nodes begins, if no number is given.
_LAST_OF_EACH = 10
#: Longest name that widens the column of names.
_NAME_WIDTH = 24
#: Escape sequences of terminals that do not just colour what follows, and control characters.
_UNRULY = re.compile(
    r"\x1b(?!\[[0-9;]*m)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -~]?)"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]"
)
_COLOURED = re.compile(r"\x1b\[[0-9;]*m")


@click.command(
    epilog=examples(
        "nbflow logs sales-20260201 train",
        "nbflow logs sales-20260201 train -f",
        "nbflow logs sales-20260201 -f --json | jq .text",
    )
)
@run_argument
@click.argument("node", metavar="[NODE]", required=False)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on with what comes, until the node has ended for good, or nobody drives the run any "
    "more; without NODE, of all nodes.",
)
@click.option(
    "--last",
    type=click.IntRange(min=0),
    metavar="N",
    help="Print only the last N lines of what is there already.",
)
@home_option
@json_option
def logs(
    *,
    run: str,
    node: str | None,
    follow: bool,
    last: int | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Print what a node of a run has printed, cell by cell.

    Of a node that runs, what its notebook had when it was saved last; with -f, all as it comes.
    """
    from nbflow.session import attach

    handle = attach(run, home=home)
    if node is None and not follow:
        raise click.UsageError("name a NODE, or follow all of them: -f")
    if node is not None:
        _require_node(handle, node)
    if node is not None and not follow and last is None and not as_json:
        # Not `print`: click leaves out the colours of tracebacks where there is no terminal.
        click.echo(handle[node].logs, nl=False)
        return
    write = _as_json if as_json else _Writer(None if node else handle)
    for line in _followed(handle, node, last) if follow else _kept(handle, node, last):
        write(line)


def _require_node(run: "Run", node: str) -> None:
    from nbflow.definition.faults import did_you_mean, listed

    if node not in list(run):
        near = did_you_mean(node, run) or f"It has: {listed(run)}"
        raise click.UsageError(f"run {run.id} has no node {node!r}. {near}")


# --- which lines ------------------------------------------------------------------------------


def _kept(run: "Run", node: str | None, last: int | None) -> "list[LogLine]":
    """Return what the files have; of a run without them, what the executed notebook has."""
    from nbflow.session.log_files import Follower

    lines = Follower(_folder(run), node, last).fresh()
    if lines or node is None:
        return lines
    return _from_notebook(run, node, last)


def _from_notebook(run: "Run", node: str, last: int | None) -> "list[LogLine]":
    from nbflow.session.log_files import LogLine

    standing = run.view().run[node]
    at = standing.ended_at or standing.started_at or 0.0
    texts = run[node].logs.splitlines()
    lines = [LogLine(at, node, standing.attempt, -1, "stdout", text) for text in texts]
    return lines if last is None else lines[len(lines) - min(last, len(lines)) :]


def _followed(run: "Run", node: str | None, last: int | None) -> "Iterator[LogLine]":
    """Yield lines as they come, until no more will."""
    from nbflow.session.log_files import Follower

    if node is None and last is None:
        last = _LAST_OF_EACH
    follower = Follower(_folder(run), node, last)
    ended = _Ended(node)
    while True:
        # The look comes before the reading, so that nothing that it says is over is missed.
        over = ended.seen_in(run.view(), time.time())
        yield from follower.fresh()
        if over:
            return
        # Another process writes the files; there is nothing here to wait on but time.
        time.sleep(_LOOK_S)


class _Ended:
    """Tells whether nothing more will be printed, by one node or (None) by any."""

    def __init__(self, node: str | None) -> None:
        self._node = node
        self._first_seen_at = 0.0

    def seen_in(self, view: "RunView", now: float) -> bool:
        """Whether the end is so long ago, in the run or since it was seen, that all is written."""
        from nbflow.core.run import settled
        from nbflow.core.states import RUN_ENDED

        run = view.run
        if run.status in RUN_ENDED:
            ended_at = run.ended_at
        elif self._node is not None and settled(run, self._node, run[self._node]):
            ended_at = run[self._node].ended_at
        else:
            return not view.driven
        # Seen from here besides: the end has the time of another machine's clock.
        self._first_seen_at = self._first_seen_at or now
        return now - min(self._first_seen_at, ended_at or 0.0) > _LINGER_S


def _folder(run: "Run") -> Path:
    from nbflow.session.home import runs_folder
    from nbflow.session.log_files import FOLDER

    return runs_folder(run.home, run.id) / FOLDER


# --- how they look ----------------------------------------------------------------------------


def _as_json(line: "LogLine") -> None:
    import json

    from nbflow.cli.text import utc_time

    document: dict[str, Any] = {
        "at": utc_time(line.at),
        "node": line.node,
        "attempt": line.attempt,
        "cell": None if line.cell < 0 else line.cell,
        "stream": line.stream,
        "text": line.text,
    }
    print(json.dumps(document), flush=True)


class _Writer:
    """Prints lines for people: under a header for each cell, or behind the names of nodes.

    Parameters
    ----------
    run
        The run of which all nodes are told; None for a single node.
    """

    def __init__(self, run: "Run | None") -> None:
        names = [] if run is None else list(run)
        self._width = min(_NAME_WIDTH, max(map(len, names), default=0))
        self._prefixed = run is not None
        self._place: tuple[int, int] | None = None

    def __call__(self, line: "LogLine") -> None:
        text = _ruly(line.text)
        if self._prefixed:
            # Not `print`: click leaves out colours where there is no terminal.
            click.echo(f"{line.node:<{self._width}} | {text}")
        else:
            for header in self._headers(line):
                click.echo(header)
            click.echo(text)

    def _headers(self, line: "LogLine") -> Iterator[str]:
        before, self._place = self._place, (line.attempt, line.cell)
        if line.attempt != (before[0] if before else 1):
            yield f"=== attempt {line.attempt}"
        if line.cell >= 0 and self._place != before:
            yield f"--- cell {line.cell}"


def _ruly(text: str) -> str:
    """Return `text` without what could do more to a terminal than colour the line."""
    text = _UNRULY.sub("", text)
    return f"{text}\x1b[0m" if _COLOURED.search(text) else text
