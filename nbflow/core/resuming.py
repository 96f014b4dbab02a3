"""Resuming: which nodes of a run begin anew, and why.

What has succeeded is kept as long as it would be made of the same today. The plan resets, in the
order of the graph:

- what failed, was cancelled, or was skipped for that: it is tried again;
- what has changed by itself: its code, its environment, a file that it reads, a parameter;
- what stands behind any of these. Whether that really has to run shows only when its turn comes:
  if what it receives has come out as before, its earlier result stands again (`NodeKept`). So the
  wave of a change ends where outputs are equal;
- what somebody wants to see run again (`Wish`), also if it has not had its turn yet: a result
  that it had before must not stand for the attempt.

Recognizing is the other half: `recognized` says of a node whose turn has come what is known
already about the attempt that it is about to make.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.fingerprints import Fingerprint, difference
from nbflow.core.making import fingerprint_of
from nbflow.core.run import NodeRun, Run, must_not_repeat, settled
from nbflow.core.states import NodeState, Reason, ResetKind


class Wish(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a resume is to run besides what has to run.

    Parameters
    ----------
    begin_at
        Nodes that run again even if they are unchanged.
    only
        If not empty: nothing but these nodes runs; what else has not ended is left for later.
        Nodes of `begin_at` that are not among them do not run.
    force
        Nothing is kept: all of `only`, or all behind `begin_at`, or all nodes run again.
    """

    begin_at: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    force: bool = False


#: What a plan is made of.
Step: TypeAlias = ev.NodeReset | ev.NodeCancelled

_TRIED_AGAIN = frozenset({NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED})


def plan(run: Run, wish: Wish, files: Mapping[str, str]) -> list[Step]:
    """Return the events with which a resumed run begins.

    Parameters
    ----------
    run
        The run, with its present definition, and with no attempt in flight.
    wish
        What is wanted besides.
    files
        Digests of the files that nodes are declared to read, by node.
    """
    wish = with_stages(run, wish)
    forced = _forced(run, wish)
    causes: dict[str, tuple[ResetKind, str]] = {}
    steps: list[Step] = []
    for name in run.graph.topological_order():
        node = run.nodes[name]
        if wish.only and name not in wish.only:
            if not settled(run, name, node):
                steps.append(ev.NodeCancelled(name))
            continue
        waits = node.state is NodeState.IN_DOUBT or name not in forced
        if waits and not settled(run, name, node):
            # It has not had its turn, or somebody is to decide; and whoever stands behind it waits.
            causes[name] = ("upstream", "")
            continue
        cause = _cause(run, name, forced, causes, files)
        if cause is not None:
            causes[name] = cause
            kind, why = cause
            steps.append(ev.NodeReset(name, why, kind))
    return steps


def with_stages(run: Run, wish: Wish) -> Wish:
    """Return all nodes that `wish` means: who names a notebook means its stages, too."""

    def whole(names: tuple[str, ...]) -> tuple[str, ...]:
        nodes = run.graph.nodes
        stages = (it.node for name in names if name in nodes for it in nodes[name].stages)
        return tuple(dict.fromkeys((*names, *stages)))

    return msgspec.structs.replace(wish, begin_at=whole(wish.begin_at), only=whole(wish.only))


def recognized(
    run: Run, name: str, now: Fingerprint
) -> ev.NodeKept | ev.NodeCached | ev.AttemptInDoubt | None:
    """Return what takes the place of the attempt that `name` is about to make, if anything.

    Parameters
    ----------
    run
        The node is ready.
    name
        The node.
    now
        What the attempt would be made of.
    """
    node = run[name]
    earlier = node.earlier
    cause = None if earlier is None else difference(earlier.fingerprint, now)
    if earlier is not None and cause is None:
        if not earlier.source:
            return ev.NodeKept(name)
        return ev.NodeCached(
            name,
            now,
            earlier.source,
            earlier.saved_s,
            earlier.outputs,
            earlier.notebook,
            earlier.log,
        )
    if must_not_repeat(run, name):
        why = cause[1] if cause else "it was not seen to succeed"
        message = f"{why}, and it is declared at most once: attempt {node.attempt} had begun"
        return ev.AttemptInDoubt(name, node.attempt, Reason("needs_decision", message), now)
    return None


def _cause(
    run: Run,
    name: str,
    forced: frozenset[str],
    causes: Mapping[str, tuple[ResetKind, str]],
    files: Mapping[str, str],
) -> tuple[ResetKind, str] | None:
    """Return why a node is to begin anew, if it is: it is settled, or somebody wants it to run."""
    node = run.nodes[name]
    if name in forced:
        # Also before its turn: what it had brought, or another run has, must not stand for it then.
        return "forced", "somebody wants it to run again"
    if node.state in _TRIED_AGAIN and not node.is_cached and not _is_made_up_for(run, name):
        return "resumed", f"resumed: it was {node.state}"
    own = _changed(run, name, node, files)
    before = next((source for source in run.graph.upstream[name] if source in causes), None)
    if own is not None and own[0] != "upstream":
        # What has changed about the node itself is told, whatever else runs before it.
        return own
    if before is not None:
        return "upstream", f"{before}, which it stands behind, is to run first"
    return own


def _is_made_up_for(run: Run, name: str) -> bool:
    """Whether it is a stage whose notebook has come to its result all the same."""
    return run.graph.nodes[name].is_stage and any(
        run.graph.nodes[whole].stages and run.nodes[whole].has_result
        for whole in run.graph.downstream[name]
    )


def _changed(
    run: Run, name: str, node: NodeRun, files: Mapping[str, str]
) -> tuple[ResetKind, str] | None:
    if node.fingerprint is None:
        # Recorded by a program that took none: nothing can be compared, and the result stands.
        return None
    return difference(node.fingerprint, fingerprint_of(run, name, files.get(name, "")))


def _forced(run: Run, wish: Wish) -> frozenset[str]:
    if not wish.force:
        return frozenset(wish.begin_at)
    if wish.only:
        return frozenset(wish.only)
    if not wish.begin_at:
        return frozenset(run.graph.nodes)
    return frozenset(_behind(run, wish.begin_at))


def _behind(run: Run, names: tuple[str, ...]) -> Iterator[str]:
    """Yield `names` and every node that depends on one of them."""
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            yield name
            todo.extend(run.graph.downstream[name])
