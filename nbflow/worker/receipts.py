"""Receipts: what lets the next driver find an outcome that nobody received."""

from contextlib import suppress

import msgspec

from nbflow.core.attempts import Outcome
from nbflow.core.errors import ArtifactError
from nbflow.core.values import artifacts_in
from nbflow.ports import ArtifactStore

_encoder = msgspec.json.Encoder()


#: What takes longer is worth a receipt whatever it brings: that costs a few milliseconds.
_WORTH_S = 1.0


def with_receipt(outcome: Outcome, store: ArtifactStore, *, careful: bool = False) -> Outcome:
    """Leave a receipt for `outcome` if it is worth finding again, and return it.

    A quick one without any artifact is as quickly made again as found, unless its node is
    `careful`: then it would be in doubt. Blocks, and comes last: all artifacts that the outcome
    names must be durable by now.

    On a full disk, there may be room for them and none for the receipt. That must not turn a
    success into a failure: only if the driver dies now, too, is the attempt made again.
    """
    took_s = outcome.ended_at - outcome.started_at
    if careful or took_s > _WORTH_S or _has_artifacts(outcome):
        with suppress(ArtifactError):
            store.put_receipt(outcome.id, _encoder.encode(outcome))
    return outcome


def _has_artifacts(outcome: Outcome) -> bool:
    if outcome.notebook is not None or outcome.log is not None:
        return True
    return any(True for value in outcome.outputs.values() for _ in artifacts_in(value))
