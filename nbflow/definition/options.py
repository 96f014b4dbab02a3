"""All that may be written about a node besides its code, and what of it is a policy.

The parsers of single policies are in `nbflow.definition.policies`; here stands which option they
belong to, and which options make no sense for a function.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nbflow.core.policies import Limits, Policy
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences, wrong
from nbflow.definition.policies import (
    parse_cache,
    parse_checkpoint,
    parse_cpus,
    parse_effect,
    parse_expected,
    parse_flag,
    parse_limit,
    parse_memory,
    parse_nice,
    parse_output_limit,
    parse_priority,
    parse_resources,
    parse_retries,
    parse_start_timeout,
    parse_timeout,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeOptions:
    """Everything that may be written about a node besides its code; None was not written."""

    name: str | None = None
    params: Any = None
    after: Any = ()
    outputs: Any = ()
    kernel: Any = None
    python: Any = None
    env: Any = None
    cwd: Any = None
    retries: Any = None
    timeout: Any = None
    memory: Any = None
    output_limit: Any = None
    cpus: Any = None
    nice: Any = None
    start_timeout: Any = None
    priority: Any = None
    resources: Any = None
    continue_on_failure: Any = None
    effect: Any = None
    cache: Any = None
    checkpoint: Any = None
    cells: Any = None
    expected: Any = None
    inputs: Any = None
    packages: Any = None


def policy_from(written: Mapping[str, Any], base: Policy) -> tuple[Policy, list[tuple[str, Fault]]]:
    """Return `base` with what is written on top, and the options that could not be used.

    An option replaces the default as a whole. Options that are None are not written.
    """
    changes: dict[str, Any] = {}
    faults: list[tuple[str, Fault]] = []
    for option, value in written.items():
        if value is None:
            continue
        try:
            target, parse = _known_option(option)
            changes[target] = parse(value)
        except Fault as fault:
            faults.append((option, fault))
    return (msgspec.structs.replace(base, **changes) if changes else base), faults


def policy_options(options: NodeOptions) -> dict[str, Any]:
    """Return the part of `options` that is about policies."""
    return {option: getattr(options, option) for option in _POLICY_OPTIONS}


def function_faults(options: NodeOptions) -> Iterator[tuple[str, Fault]]:
    """Yield the options that a function cannot have. As a flow's defaults they only pass it by."""
    for option, lack in _NOT_OF_FUNCTIONS.items():
        if getattr(options, option) is not None:
            yield (
                option,
                Fault(
                    f"a function has no {lack}: it shares its worker's process with others",
                    f"Leave {option} out, or make the node a notebook, whose kernel is a process "
                    "of its own",
                ),
            )
    if _limits_cells(options.timeout):
        yield "timeout", Fault("a function has no cells to time out", "Give it soft or hard")


def conflict(policy: Policy) -> Fault | None:
    """Return what contradicts itself in a policy, if anything does."""
    if policy.effect == "at_most_once" and policy.retries.times:
        return Fault(
            f"it is to run at most once, and to be tried again {policy.retries.times} times: what "
            "is at_most_once never begins a second time unless a person decides so",
            "Set retries to 0, or leave effect out if it does no harm to run it twice",
        )
    return None


def cells_conflict(policy: Policy) -> Fault | None:
    """Return what keeps a notebook with this policy from running as stages, if anything does."""
    if policy.effect == "at_most_once":
        return Fault(
            "it is to run at most once, and cells that do what was not known of them run again",
            "Leave cells out, or leave effect out if it does no harm to run it twice",
        )
    if policy.checkpoint_s is not None:
        return Fault(
            "it asks for checkpoints, and stages have none: what a stage has done is kept when it "
            "has ended",
            "Leave out cells or checkpoint, or set checkpoint to false",
        )
    return None


def limits_from(flow: Any, groups: Any) -> tuple[Limits, list[tuple[str, Fault]]]:
    """Return limits on concurrent nodes, and what could not be used of them."""
    faults: list[tuple[str, Fault]] = []
    limit: int | None = None
    by_group: dict[str, int] = {}
    try:
        limit = None if flow is None else parse_limit(flow)
    except Fault as fault:
        faults.append(("flow", fault))
    if not isinstance(groups, Mapping):
        faults.append(("groups", wrong("limits", "a mapping of groups to numbers", groups)))
        return Limits(flow=limit), faults
    for group, value in groups.items():
        try:
            by_group[str(group)] = parse_limit(value)
        except Fault as fault:
            faults.append(("groups", Fault(f"group {group!r}: {fault.what}", fault.fix)))
    return Limits(flow=limit, groups=by_group), faults


#: The field of `Policy` that an option sets, and its parser.
_POLICY_OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "retries": ("retries", parse_retries),
    "timeout": ("timeout", parse_timeout),
    "memory": ("memory_bytes", parse_memory),
    "output_limit": ("output_limit", parse_output_limit),
    "cpus": ("cpus", parse_cpus),
    "nice": ("nice", parse_nice),
    "start_timeout": ("start_timeout_s", parse_start_timeout),
    "priority": ("priority", parse_priority),
    "resources": ("resources", parse_resources),
    "continue_on_failure": ("continue_on_failure", parse_flag),
    "effect": ("effect", parse_effect),
    "cache": ("cache", parse_cache),
    "checkpoint": ("checkpoint_s", parse_checkpoint),
    "expected": ("expected", parse_expected),
}

#: Options of notebooks alone, and what a function lacks for them.
_NOT_OF_FUNCTIONS = {
    "memory": "memory limit",
    "output_limit": "output limit",
    "cpus": "cores of its own",
    "nice": "scheduling priority of its own",
    "start_timeout": "kernel that would have to start",
    "checkpoint": "cells after which its variables could be kept",
    "cells": "cells that could run side by side",
    "kernel": "kernel",
    "python": "Python of its own",
    "env": "environment of its own",
    "cwd": "working directory of its own",
}


def _known_option(option: str) -> tuple[str, Callable[[Any], Any]]:
    if option not in _POLICY_OPTIONS:
        raise Fault(
            f"{option!r} is not a policy",
            sentences(did_you_mean(option, _POLICY_OPTIONS), f"Known: {listed(_POLICY_OPTIONS)}"),
        )
    return _POLICY_OPTIONS[option]


def _limits_cells(timeout: Any) -> bool:
    if timeout is None:
        return False
    try:
        parsed = parse_timeout(timeout)
    except Fault:
        # Whoever reads the policies says what is wrong with it.
        return False
    return parsed.cell_soft is not None or parsed.cell_hard is not None
