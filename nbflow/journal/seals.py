"""Checksums of rows: what was stored is what is read, or an error.

A disk, a copy or a stray program can change a byte where the database's own structure does not
notice. So each row carries a hash of all its columns that never change, its place
(run and seq) among them: a row that was altered, or stands in another's place, does not fit its
seal. Rows that are missing are noticed by `seq`, which has no gaps, and by the count in the
run's row.

Rows are not chained to their predecessors. A chain would notice nothing more, since places are
sealed and counted; but every append would have to read within the write lock, and one
damaged record would make all later ones doubtful. It is no signature either: it is against
accidents, not against people.
"""

from hashlib import blake2b

import msgspec

#: At eight bytes, one damage in 10^19 goes unnoticed.
_SIZE_BYTES = 8

_ENCODER = msgspec.msgpack.Encoder()


def seal(*columns: object) -> bytes:
    """Return the checksum of a row: of its columns' values and their types."""
    return blake2b(_ENCODER.encode(columns), digest_size=_SIZE_BYTES).digest()


def fits(found: object, *columns: object) -> bool:
    """Whether `found` is the checksum of these columns."""
    try:
        return seal(*columns) == found
    except (UnicodeEncodeError, OverflowError):
        # Damaged text that is no Unicode any more, a number that was none: nothing we have sealed.
        return False
