"""The critical path: the chain of nodes that determines how long a run takes at least."""

from collections.abc import Mapping

from nbflow.core.graph import Graph


def critical_path(graph: Graph, seconds: Mapping[str, float]) -> tuple[str, ...]:
    """Return the longest chain of nodes, from first to last.

    Parameters
    ----------
    graph
        The flow's graph.
    seconds
        How long each node takes; one that is missing takes no time.
    """
    ends_s: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name in graph.topological_order():
        latest = max(graph.upstream[name], key=lambda source: ends_s[source], default=None)
        before[name] = latest
        ends_s[name] = seconds.get(name, 0.0) + (0.0 if latest is None else ends_s[latest])
    last: str | None = max(ends_s, key=lambda each: ends_s[each], default=None)
    chain: list[str] = []
    while last is not None:
        chain.append(last)
        last = before[last]
    return tuple(reversed(chain))
