"""What a resume will do, before it does it: said out loud, and refused if it cannot be.

The driver makes the real plan once it holds the run, by the same function.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.errors import ArtifactError, DefinitionError, JournalError, Problem, UnknownRun
from nbflow.core.results import Result, result_of
from nbflow.core.resuming import Wish, plan, with_stages
from nbflow.core.states import IN_FLIGHT, RUN_ENDED, Reason, RunStatus
from nbflow.driver import Resumption
from nbflow.ports import Journal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a resume will begin with.

    Parameters
    ----------
    changes
        What has changed about the flow, a sentence each.
    resets
        Nodes that begin anew, with the reason.
    nothing
        Whether there is nothing to do at all.
    """

    changes: tuple[str, ...]
    resets: tuple[ev.NodeReset, ...]
    nothing: bool


def foreseen(run: machine.Run, resumption: Resumption, files: Mapping[str, str]) -> Foreseen:
    """Return what a resume of `run` will do.

    Parameters
    ----------
    run
        The run as it stands.
    resumption
        How it is to go on.
    files
        Digests of the files that nodes are declared to read, by node.

    Raises
    ------
    DefinitionError
        If a node that is wished for does not exist, or cannot run without others.
    """
    before = run
    run = _rehearsed(run, resumption)
    _check(run, resumption.wish)
    steps = plan(run, resumption.wish, files)
    resets = tuple(step for step in steps if isinstance(step, ev.NodeReset))
    return Foreseen(
        changes=() if resumption.change is None else resumption.change.changes,
        resets=resets,
        nothing=not steps and _has_its_end(before, run),
    )


def seeds_of(journal: Journal, run: str) -> dict[str, Result]:
    """Return the results of `run`, by what they were made of.

    There are none if it is ``""``, is gone, or cannot be read any more: they only spare work.
    """
    if not run:
        return {}
    try:
        source = machine.replay(journal.read(run))
    except (ArtifactError, JournalError, UnknownRun, machine.IllegalTransition) as error:
        _log.warning(
            "run %s, from which this one was forked, cannot be read: nothing is taken (%s)",
            run,
            error,
        )
        return {}
    results = (result_of(source, name) for name in source.graph.nodes)
    return {result.key: result for result in results if result is not None}


def _rehearsed(run: machine.Run, resumption: Resumption) -> machine.Run:
    """Return the run with what a driver will record before its plan."""
    ended = run.status in RUN_ENDED | {RunStatus.CANCELLING}
    events: list[ev.Event] = [ev.RunReopened("") if ended else ev.RunClaimed("")]
    events += [
        ev.AttemptLost(name, node.attempt, Reason("driver_lost", ""))
        for name, node in run.nodes.items()
        if node.state in IN_FLIGHT
    ]
    events += [] if resumption.change is None else [resumption.change]
    for event in events:
        record = ev.Record(run.id, run.seq + 1, run.epoch, run.created_at, event)
        run, _ = machine.apply(run, record)
    return run


def _has_its_end(before: machine.Run, run: machine.Run) -> bool:
    """Whether a run in which no node begins anew has ended as it would end once more.

    One that was cancelled, or has failed, stays so while `Wish.only` leaves out what was not done:
    to open it again would only write another end over the one that somebody knows.
    """
    if run.open:
        return False
    if before.status is RunStatus.SUCCEEDED:
        return True
    return before.status in RUN_ENDED and run.failed > 0


def _check(run: machine.Run, wish: Wish) -> None:
    """Refuse a wish that cannot be granted.

    A notebook that runs as stages brings them along; they need no name of their own.
    """
    only = with_stages(run, wish).only
    problems = [
        Problem(run.id, f"the run has no node {name!r}", f"It has: {', '.join(run.graph.nodes)}")
        for name in (*wish.begin_at, *wish.only)
        if name not in run.nodes
    ]
    for name in only if not problems else ():
        for source in run.graph.upstream[name]:
            node = run.nodes[source]
            if source not in only and not machine.lets_pass(run, source, name, node):
                what = f"cannot run alone: it needs {source}, which is {node.state}"
                fix = f"Name {source} too, or resume without --only"
                problems.append(Problem(run.id, what, fix, node=name))
    if not problems and only:
        what = f"--from cannot run it, since --only leaves it out ({', '.join(wish.only)})"
        fix = "Name it by --only too, or leave out --from or --only"
        problems += [
            Problem(run.id, what, fix, node=name) for name in wish.begin_at if name not in only
        ]
    if problems:
        raise DefinitionError(problems)
