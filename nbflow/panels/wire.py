"""The binary form of a node's standing: what goes to the browser many times a second.

A record has a fixed size, so that the browser copies it into columns without looking at the rest.
Times are seconds since the run was created; NaN is a time that is not known. What is not in a
record (names, edges) does not change, or is asked for (outputs, logs).
"""

import math
import struct
from collections.abc import Iterable, Mapping

from nbflow.core.run import NodeRun
from nbflow.core.states import IN_FLIGHT, NodeState
from nbflow.core.view import RunView

#: States by their number in a record; the browser gets the looks in the same order.
STATES: tuple[NodeState, ...] = tuple(NodeState)
#: index, state, flags, done, total, attempt, cpu, worker, queued, started, ended, memory.
RECORD = struct.Struct("<IBBHHHHHffff")
#: Bits of a record's flags.
CACHED = 1

_NUMBER = {state: number for number, state in enumerate(STATES)}
_NONE = math.nan
_MAX_16 = 0xFFFF
_MIB = 1024 * 1024


class Workers:
    """Numbers for addresses of workers, given as they are met; 0 is no worker."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def addresses(self) -> list[str]:
        """All addresses; the first has the number 1."""
        return list(self._numbers)

    def number(self, address: str) -> int:
        """Return the number of a worker."""
        if not address:
            return 0
        found = self._numbers.get(address)
        if found is None:
            found = self._numbers[address] = min(len(self._numbers) + 1, _MAX_16)
        return found


def pack(view: RunView, names: Iterable[str], index: Mapping[str, int], workers: Workers) -> bytes:
    """Return the records of some nodes, one after the other.

    Parameters
    ----------
    view
        The run.
    names
        The nodes.
    index
        The number of each node in the panel's structure.
    workers
        Numbers of workers; new ones are added.
    """
    return b"".join(_record(view, name, index[name], workers) for name in names)


def _record(view: RunView, name: str, index: int, workers: Workers) -> bytes:
    node, zero = view.run.nodes[name], view.run.created_at
    done, total = _cells(view, name, node)
    cpu, memory_mib = _usage(view, name, node)
    return RECORD.pack(
        index,
        _NUMBER[node.state],
        CACHED if node.is_cached else 0,
        min(done, _MAX_16),
        min(total, _MAX_16),
        min(node.attempt, _MAX_16),
        min(round(cpu), _MAX_16),
        workers.number(node.worker if node.attempt else ""),
        _since(node.scheduled_at, zero),
        _since(node.started_at, zero),
        _since(node.ended_at, zero),
        memory_mib,
    )


def _since(at: float | None, zero: float) -> float:
    return _NONE if at is None else at - zero


def _cells(view: RunView, name: str, node: NodeRun) -> tuple[int, int]:
    told = view.progress.get(name)
    if told is None or told.id.number != node.attempt:
        return 0, 0
    # The last telemetry of a node is often lost or late. That it succeeded is a fact.
    return (told.total if node.state is NodeState.SUCCEEDED else told.done), told.total


def _usage(view: RunView, name: str, node: NodeRun) -> tuple[float, float]:
    """Return CPU (percent of a core) and memory (MiB): now while it runs, afterwards in sum."""
    if node.state in IN_FLIGHT:
        samples = view.usage.get(name)
        return (samples[-1].cpu_percent, samples[-1].memory_bytes / _MIB) if samples else (0.0, 0.0)
    if node.usage is None:
        return 0.0, 0.0
    return node.usage.cpu_percent_mean, node.usage.memory_bytes_peak / _MIB
