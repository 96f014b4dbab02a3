"""What results of other runs have spared a run: read off its state, and so off its journal."""

import msgspec

from nbflow.core.results import result_of
from nbflow.core.run import Run


class CacheStatistics(msgspec.Struct, frozen=True):
    """How a run has fared with results of other runs.

    Parameters
    ----------
    hits
        Nodes that took theirs from another run.
    misses
        Nodes that were to look for one, and had to run.
    size_bytes
        Of the artifacts that the hits have brought: outputs, executed notebooks, logs; each
        content once.
    saved_s
        Seconds that the hits took where they were made.
    """

    hits: int = 0
    misses: int = 0
    size_bytes: int = 0
    saved_s: float = 0.0


def cache_statistics(run: Run) -> CacheStatistics | None:
    """Return what `run` has taken from others; None if it took nothing and was not to look."""
    hits = [name for name, node in run.nodes.items() if node.is_cached]
    looking = [name for name, spec in run.graph.nodes.items() if spec.policy.cache is not None]
    if not hits and not looking:
        return None
    results = [result for result in (result_of(run, name) for name in hits) if result is not None]
    brought = {it.digest: it.size_bytes for result in results for it in result.artifacts()}
    ran = [name for name in looking if run[name].attempt and not run[name].is_cached]
    return CacheStatistics(
        hits=len(hits),
        misses=len(ran),
        size_bytes=sum(brought.values()),
        saved_s=sum(result.took_s for result in results),
    )
