"""The ids of spans: made of what a span is about, not drawn.

Whoever drives a run, in whatever process, gives its spans the same ids. So a run that is resumed
elsewhere goes on in its trace, an attempt's context can be handed to its worker before anybody has
made its span, and the trace of a run is found by the run's id alone.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.id_generator import IdGenerator

from nbflow.core.ids import AttemptId


def trace_id(run: str) -> int:
    """Return the id of a run's trace."""
    return _drawn(16, "run", run)


def run_span_id(run: str, epoch: int) -> int:
    """Return the id of the span of a run as one driver drove it."""
    return _drawn(8, "run", run, str(epoch))


def node_span_id(run: str, node: str, epoch: int) -> int:
    """Return the id of the span of a node as one driver saw it."""
    return _drawn(8, "node", run, node, str(epoch))


def attempt_span_id(attempt: AttemptId) -> int:
    """Return the id of an attempt's span."""
    return _drawn(8, "attempt", attempt.run, attempt.node, str(attempt.number), str(attempt.epoch))


def cell_span_id(attempt: AttemptId, cell: int) -> int:
    """Return the id of the span of one cell of an attempt."""
    return _drawn(8, "cell", str(attempt_span_id(attempt)), str(cell))


def traceparent(attempt: AttemptId, *, sampled: bool) -> str:
    """Return the W3C trace context of an attempt, as the variable ``TRACEPARENT`` has it."""
    flags = 1 if sampled else 0
    return f"00-{trace_id(attempt.run):032x}-{attempt_span_id(attempt):016x}-{flags:02x}"


class GivenIds(IdGenerator):
    """Hands out the ids that the thread which makes a span has chosen for it."""

    def __init__(self) -> None:
        self._chosen = threading.local()

    @contextmanager
    def given(self, trace: int, span: int) -> Iterator[None]:
        """Let the span that this thread makes in this context have these ids."""
        self._chosen.trace, self._chosen.span = trace, span
        yield

    def generate_trace_id(self) -> int:
        """Return the trace that was chosen."""
        chosen: int = self._chosen.trace
        return chosen

    def generate_span_id(self) -> int:
        """Return the span that was chosen."""
        chosen: int = self._chosen.span
        return chosen


def _drawn(size: int, *parts: str) -> int:
    # No part has a NUL, so different parts never make the same text. Zero is no valid id.
    text = "\0".join(parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest()) or 1
