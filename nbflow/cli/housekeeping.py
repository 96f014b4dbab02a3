"""Commands that look after a home: ``gc``, ``verify``, ``export``, ``import``."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.options import examples, home_option, json_option, run_argument

if TYPE_CHECKING:
    from nbflow.session.housekeeping import Cleaning
    from nbflow.session.verifying import Finding, Verification

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.

#: What one of each kind of removal is called, and several.
_WORDS = {
    "run": ("run", "runs"),
    "folder": ("folder of a run", "folders of runs"),
    "receipt": ("receipt", "receipts"),
    "entry": ("entry of the cache", "entries of the cache"),
    "artifact": ("artifact", "artifacts"),
    "unfinished": ("unfinished write", "unfinished writes"),
}


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Return the seconds that an age means, as people write it."""
    from nbflow.definition.durations import parse_duration
    from nbflow.definition.faults import Fault

    if value is None:
        return None
    if value in ("0", "0s"):
        return 0.0
    try:
        return parse_duration("an age", value)
    except Fault:
        message = f"{value!r} is no age such as 30d, 12h, 90m or 0s"
        raise click.BadParameter(message, ctx, param) from None


def _limit_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--alone", is_flag=True, help=_ALONE_HELP),
        click.option("--unfinished", is_flag=True, help=_UNFINISHED_HELP),
        click.option("--cache-older-than", callback=_seconds, metavar="AGE", help=_CACHE_HELP),
        click.option("--older-than", callback=_seconds, metavar="AGE", help=_OLDER_HELP),
        click.option("--keep-runs", type=click.IntRange(min=0), metavar="N", help=_KEEP_HELP),
    ):
        command = option(command)
    return command


_KEEP_HELP = "Remove ended runs, but for the newest N of each flow."
_OLDER_HELP = (
    "Remove runs that ended longer ago than this (30d, 12h). With --keep-runs, a run goes only if "
    "neither keeps it."
)
_CACHE_HELP = "Forget cached results that were stored longer ago than this."
_ALONE_HELP = "No other journal uses this store any more, though one has said so."
_UNFINISHED_HELP = "Let runs that have not ended go, too, if nobody drives them."


@click.command(epilog=examples("nbflow gc --dry-run", "nbflow gc --keep-runs 20 --older-than 30d"))
@_limit_options
@click.option(
    "--grace",
    callback=_seconds,
    default="1d",
    show_default=True,
    metavar="AGE",
    help="What was stored within this time stays, whether or not anything refers to it yet.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be removed, and remove nothing.")
@home_option
@json_option
def gc(
    *,
    keep_runs: int | None,
    older_than: float | None,
    cache_older_than: float | None,
    unfinished: bool,
    alone: bool,
    grace: float,
    dry_run: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Drop what nothing refers to.

    Without --keep-runs and --older-than, all runs stay, with all that they refer to. Runs may go
    on meanwhile.
    """
    from nbflow.cli.text import print_json
    from nbflow.session.home import Home
    from nbflow.session.housekeeping import Limits, clean

    limits = Limits(
        keep_runs=keep_runs,
        older_than_s=older_than,
        unfinished=unfinished,
        cache_older_than_s=cache_older_than,
        grace_s=grace,
        alone=alone,
    )
    opened = Home.find(home, Path.cwd())
    try:
        cleaning = clean(opened, limits, now=time.time(), dry_run=dry_run)
    finally:
        opened.close()
    if as_json:
        print_json(_cleaning_document(cleaning, dry_run=dry_run))
        return
    for line in _cleaning_lines(cleaning, dry_run=dry_run):
        print(line)


@click.command(epilog=examples("nbflow verify", "nbflow verify sales-20260201 --json"))
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@home_option
@json_option
@click.pass_context
def verify(ctx: click.Context, *, runs: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Compare what is stored with its hashes.

    Of the given runs, or of all: every record of the journal, every artifact that one names, and
    the receipts of attempts. Of all, the entries of the cache, too. The exit code is 1 if anything
    is damaged or missing. Nothing is changed.
    """
    from nbflow.cli.text import print_json
    from nbflow.session.home import Home
    from nbflow.session.verifying import verify as look
    from nbflow.session.verifying import with_faults

    opened = Home.find(home, Path.cwd())
    try:
        every = [row.id for row, _ in opened.journal.listed()]
        asked = [opened.run_id(run) for run in runs] or every
        found = look(opened.journal, opened.store, asked, cache=not runs)
        found = with_faults(found, opened.journal.faults())
    finally:
        opened.close()
    if as_json:
        print_json(_verification_document(found))
    else:
        for line in _verification_lines(found):
            print(line)
    ctx.exit(1 if found.faults else 0)


@click.command(epilog=examples("nbflow export sales-20260201 sales.zip"))
@run_argument
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@home_option
def export(*, run: str, file: Path, home: Path | None) -> None:
    """Write a run to one file.

    It holds the run's records, and all that they refer to. A run that is not over is written as
    far as it has got.
    """
    from nbflow.drawing.words import size
    from nbflow.session.archives import write_archive
    from nbflow.session.home import Home

    opened = Home.find(home, Path.cwd())
    try:
        archived = write_archive(opened, opened.run_row(run).id, file)
    finally:
        opened.close()
    print(f"{file}: run {archived.run}, {_archived_words(archived.records, archived.artifacts)}")
    print(f"{size(archived.size_bytes)} in it, {size(file.stat().st_size)} as a file")


@click.command("import", epilog=examples("nbflow import sales.zip --home archive"))
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "run_id", metavar="ID", help="The run's id here. By default its own.")
@home_option
def import_(*, file: Path, run_id: str | None, home: Path | None) -> None:
    """Add the run in a file to a home.

    The home is made if need be. All hashes are checked before anything is added.
    """
    from nbflow.session.archives import import_run

    run = import_run(file, home=home, run_id=run_id)
    print(f"{run.id} is in {run.home} now: nbflow show {run.id}")


def _cleaning_lines(cleaning: "Cleaning", *, dry_run: bool) -> Iterator[str]:
    from nbflow.cli.text import table, when
    from nbflow.drawing.words import size

    now = time.time()
    if dry_run and cleaning.removals:
        rows = [("WHAT", "NAME", "SIZE", "LAST USED")]
        for each in cleaning.removals:
            amount = "" if each.kind == "run" else size(each.size_bytes)
            rows.append((each.kind, each.name, amount, when(each.modified_at, now)))
        yield from table(rows)
    counts = Counter(each.kind for each in cleaning.removals)
    parts = [
        f"{count} {_WORDS[kind][count > 1]}"
        for kind in _WORDS
        if (count := counts[kind])  # type: ignore[index]
    ]
    verb = "would remove" if dry_run else "removed"
    yield f"{verb} {', '.join(parts) or 'nothing'}: {size(cleaning.size_bytes)}"
    yield (
        f"kept {cleaning.kept_runs} runs and {cleaning.kept_artifacts} artifacts: "
        f"{size(cleaning.kept_bytes)}"
    )


def _cleaning_document(cleaning: "Cleaning", *, dry_run: bool) -> dict[str, Any]:
    from nbflow.cli.text import utc_time

    return {
        "dry_run": dry_run,
        "bytes": cleaning.size_bytes,
        "removed": [
            {
                "kind": each.kind,
                "name": each.name,
                "bytes": each.size_bytes,
                "last_used_at": utc_time(each.modified_at),
            }
            for each in cleaning.removals
        ],
        "kept": {
            "runs": cleaning.kept_runs,
            "artifacts": cleaning.kept_artifacts,
            "bytes": cleaning.kept_bytes,
        },
    }


def _verification_lines(found: "Verification") -> Iterator[str]:
    from nbflow.drawing.words import plural, size

    for each in found.findings:
        remark = "" if each.is_fault else "remark: "
        yield f"{remark}{_where(each)}: {each.what}"
        yield f"  {each.fix}"
    count = len(found.faults)
    verdict = f"{count} fault{'' if count == 1 else 's'}" if count else "all is whole"
    words = _archived_words(found.records, found.artifacts)
    cached = f", and {plural(found.entries, 'result')} in the cache" if found.entries else ""
    yield f"{verdict}: {found.runs} runs, {words} ({size(found.size_bytes)}){cached} looked at"


def _where(finding: "Finding") -> str:
    node = f", node {finding.node}" if finding.node else ""
    seq = f", seq {finding.seq}" if finding.seq else ""
    return f"run {finding.run}{node}{seq}, {finding.place}" if finding.run else finding.place


def _verification_document(found: "Verification") -> dict[str, Any]:
    return {
        "whole": not found.faults,
        "runs": found.runs,
        "records": found.records,
        "artifacts": found.artifacts,
        "bytes": found.size_bytes,
        "cache_entries": found.entries,
        "findings": [_finding_document(each) for each in found.faults],
        "remarks": [_finding_document(each) for each in found.remarks],
    }


def _finding_document(finding: "Finding") -> dict[str, Any]:
    return {
        "run_id": finding.run,
        "node": finding.node,
        "seq": finding.seq or None,
        "place": finding.place,
        "what": finding.what,
        "fix": finding.fix,
    }


def _archived_words(records: int, artifacts: int) -> str:
    return f"{records} records and {artifacts} artifacts"
