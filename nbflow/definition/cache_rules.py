"""Which nodes take results from a cache: what a run was asked for, and what cannot be.

A run may be asked for a cache, or for none. A cache is for all nodes that have no word of their own
about it; it takes the place of the flow's defaults. None is for every node, whatever it says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nbflow.core.caching import uncacheable
from nbflow.core.errors import Problem
from nbflow.core.policies import Cache
from nbflow.core.spec import NodeSpec
from nbflow.core.values import Value
from nbflow.definition.draft import Written
from nbflow.definition.policies import parse_cache


def parse_asked(value: Any) -> Cache | bool | None:
    """Return the cache that a run was asked for, False for none, or None for the flow's own.

    Raises
    ------
    Fault
        If it is none of what a node's `cache` may be.
    """
    return None if value is None else parse_cache(value) or False


def with_caches(
    nodes: Sequence[NodeSpec], written: Sequence[Written], asked: Cache | bool | None
) -> list[NodeSpec]:
    """Return `nodes`, which are those `written`, with the cache that a run was asked for."""
    if asked is None:
        return list(nodes)
    cache = asked if isinstance(asked, Cache) else None
    return [
        node if each.says_cache and cache is not None else _with_cache(node, cache)
        for node, each in zip(nodes, written, strict=True)
    ]


def never_cached(
    nodes: Sequence[NodeSpec], written: Sequence[Written], params: Mapping[str, Value]
) -> Iterator[Problem]:
    """Yield a warning for each reason why a node that is to have a cache runs each time."""
    for node, each in zip(nodes, written, strict=True):
        if node.policy.cache is None:
            continue
        for reason in uncacheable(node, params):
            yield Problem(
                place=each.where("cache"),
                what=f"it asks for a cache, but {reason}",
                fix="Until that is mended, or without a cache, it runs each time",
                node=node.name,
                severity="warning",
            )


def _with_cache(node: NodeSpec, cache: Cache | None) -> NodeSpec:
    policy = msgspec.structs.replace(node.policy, cache=cache)
    return msgspec.structs.replace(node, policy=policy)
