"""The options ``--cache[=TTL]`` and ``--no-cache`` of ``nbflow run``.

A value belongs to ``--cache`` only behind an equals sign, as with GNU's tools: what comes after
a space is the next word, and mostly the TARGET. Click would take it for the value; so the
command writes a bare ``--cache`` out first.
"""

import functools
from typing import Any

import click

from nbflow.cli.as_papermill import GroupedCommand
from nbflow.cli.options import Command

_CACHE = "--cache"
#: What ``--cache`` alone stands for.
_FOR_EVER = "true"


class CachingCommand(GroupedCommand):
    """A command with `cache_options`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words of the command line."""
        options = args.index("--") if "--" in args else len(args)
        written_out = [f"{_CACHE}={_FOR_EVER}" if it == _CACHE else it for it in args[:options]]
        return super().parse_args(ctx, written_out + args[options:])


def cache_options(command: Command) -> Command:
    """Add the options; the command gets them as ``cache``, what `Flow.run` takes for it."""

    @click.option(
        _CACHE,
        "kept",
        metavar="[=TTL]",
        help="Take results of earlier runs that did the very same, also for nodes that do not ask "
        "for it; with a time, only younger ones: --cache=7d.",
    )
    @click.option("--no-cache", is_flag=True, help="Take none, also for nodes that ask for it.")
    @functools.wraps(command)
    def with_cache(*, kept: str | None, no_cache: bool, **others: Any) -> Any:
        if kept is not None and no_cache:
            raise click.UsageError("--cache and --no-cache exclude each other")
        return command(cache=False if no_cache else _asked(kept), **others)

    return with_cache


def _asked(written: str | None) -> bool | float | str | None:
    if written is None:
        return None
    if written == _FOR_EVER:
        return True
    try:
        return float(written)
    except ValueError:
        return written
