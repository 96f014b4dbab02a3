"""Receipts: what lets the next driver find an outcome that nobody received."""

from contextlib import suppress

import msgspec

from nbflow.core.attempts import Outcome
from nbflow.core.errors import ArtifactError
from nbflow.core.values import artifacts_in
from nbflow.ports import ArtifactStore

_encoder = msgspec.json.Encoder()


def with_receipt(outcome: Outcome, store: ArtifactStore) -> Outcome:
    """Leave a receipt for `outcome` if it has cost anything worth finding again, and return it.

    An outcome without any artifact is as quickly made again as found. Blocks, and comes
    last: all artifacts that the outcome names must be durable by now.

    On a full disk, there may be room for them and none for the receipt. That must not turn a
    success into a failure: only if the driver dies now, too, is the attempt made again.
    """
    if _has_artifacts(outcome):
        with suppress(ArtifactError):
            store.put_receipt(outcome.id, _encoder.encode(outcome))
    return outcome


def _has_artifacts(outcome: Outcome) -> bool:
    if outcome.notebook is not None or outcome.log is not None:
        return True
    return any(True for value in outcome.outputs.values() for _ in artifacts_in(value))
