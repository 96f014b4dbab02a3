"""From a record to its row, and back.

The envelope (run, seq, epoch, type, version, node, attempt, time) are columns; the body is
JSON. A body of more than `LARGE_BYTES` is stored as an artifact, if the journal was given a place
for those: the row then has its digest in `reference`, and no body. The artifact is
durable before the row exists, so that a row never refers to nothing; one without a row
is rubbish that house-keeping finds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.core.errors import ArtifactError, JournalError
from nbflow.core.events import Record
from nbflow.journal import codec, seals
from nbflow.journal.versions import HISTORY

#: A body larger than this does not stay in the journal.
LARGE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Overflow:
    """Where large bodies go.

    Parameters
    ----------
    put
        Stores bytes durably, and returns their digest.
    get
        Returns the bytes of a digest, or raises `ArtifactError`.
    """

    put: Callable[[bytes], str]
    get: Callable[[str], bytes]


class Envelopes:
    """Turns records into rows of the table `events`, and rows into records.

    Parameters
    ----------
    place
        The journal, for messages.
    overflow
        Where large bodies go; None keeps them in the rows.
    """

    def __init__(self, place: str, overflow: Overflow | None) -> None:
        self._place = place
        self._overflow = overflow

    def row(self, record: Record) -> tuple[Any, ...]:
        """Return the columns of `record`, in the table's order.

        A large body has become a durable artifact by then.
        """
        body, reference = codec.encode(record.event), None
        if len(body) > LARGE_BYTES and self._overflow is not None:
            body, reference = b"", self._overflow.put(body)
        kind = record.type
        columns = (
            record.run,
            record.seq,
            record.epoch,
            kind,
            HISTORY.of(kind),
            record.node,
            record.attempt,
            # A database hands back a float; the checksum tells 100 from 100.0.
            float(record.at),
            body,
            reference,
        )
        return (*columns, seals.seal(*columns))

    def record(self, row: Sequence[Any]) -> Record:
        """Return the record that `row` (all columns, in the table's order) holds.

        Raises
        ------
        JournalError
            If the row or its artifact is damaged.
        NewerSchema
            If a newer nbflow has written it.
        """
        run, seq, epoch, kind, version, _, _, at, body, reference, checksum = row
        place = f"{self._place}, run {run}, seq {seq}"
        if not seals.fits(checksum, *row[:-1]):
            raise JournalError(
                f"{place}: the record is damaged (its checksum does not fit). "
                "Restore the journal from a backup; records before this one are intact"
            )
        if reference is not None:
            body = self._fetched(reference, f"{place}: the body of {kind}")
        return Record(run, seq, epoch, at, codec.decode(kind, version, body, place))

    def _fetched(self, reference: str, what: str) -> bytes:
        if self._overflow is None:
            raise JournalError(
                f"{what} is the artifact {reference}, and this journal was opened without its "
                "artifact store. Open the whole home"
            )
        try:
            return self._overflow.get(reference)
        except ArtifactError as error:
            raise JournalError(f"{what} is the artifact {reference}, and {error}") from error
