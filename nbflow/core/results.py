"""Results that may stand for those of other runs, found by what they were made of."""

import msgspec

from nbflow.core.run import Run
from nbflow.core.values import Artifact, Value, artifacts_in


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node that succeeded has brought.

    Parameters
    ----------
    key
        The `Fingerprint.key` of its attempt.
    run, node
        Who made it.
    at
        When, in seconds since the epoch.
    took_s
        How long that took.
    """

    key: str
    run: str
    node: str
    at: float
    took_s: float
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None

    def artifacts(self) -> list[Artifact]:
        """Return every artifact that the result consists of."""
        named = [artifact for value in self.outputs.values() for artifact in artifacts_in(value)]
        return named + [extra for extra in (self.notebook, self.log) if extra is not None]


def result_of(run: Run, name: str) -> Result | None:
    """Return the result of a node; None if it has none, or took none down that can be found."""
    node = run[name]
    if not node.has_result or node.fingerprint is None:
        return None
    took_s = (node.ended_at or 0.0) - (node.started_at or node.ended_at or 0.0)
    return Result(
        key=node.fingerprint.key,
        run=node.source or run.id,
        node=name,
        at=node.ended_at or run.created_at,
        took_s=node.saved_s if node.is_cached else max(0.0, took_s),
        outputs=node.outputs,
        notebook=node.notebook,
        log=node.log,
    )


def covers(result: Result, wanted: tuple[str, ...]) -> bool:
    """Whether `result` has every output in `wanted`: another flow may ask for more."""
    return all(name in result.outputs for name in wanted)
