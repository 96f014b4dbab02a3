"""Whether a cluster can run a flow at all, asked before anything starts.

Resources that no worker offers would make a node wait forever, in silence. On a
cluster that may still grow the same is only a warning.
"""

from collections.abc import Iterable

from nbflow.core.errors import Problem
from nbflow.core.spec import FlowSpec
from nbflow.ports import ClusterInfo


def unfit_for(spec: FlowSpec, info: ClusterInfo, *, may_grow: bool) -> Iterable[Problem]:
    """Yield what the flow asks for and the cluster does not have.

    Parameters
    ----------
    spec
        The flow.
    info
        What the workers said.
    may_grow
        Whether workers with more may join later, so that a lack is only a warning.
    """
    severity = "warning" if may_grow else "error"
    for node in spec.nodes:
        place = node.place or spec.place
        for name, amount in node.policy.resources.items():
            offered = info.resources.get(name, 0.0)
            if amount > offered:
                yield Problem(
                    place,
                    f"it needs {name}: {amount:g}, and the most that a worker offers is "
                    f"{offered:g}",
                    _how_to_offer(name, amount, may_grow=may_grow),
                    node.name,
                    severity,
                )


def _how_to_offer(name: str, amount: float, *, may_grow: bool) -> str:
    if may_grow:
        return f'Start a worker with: dask worker ADDRESS --resources "{name}={amount:g}"'
    return (
        f"Give it to the embedded cluster (--worker-resource {name} {amount:g}, or "
        f"cluster=nbflow.Embedded(resources={{{name!r}: {amount:g}}})), or another cluster"
    )
