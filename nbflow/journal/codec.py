"""Events as the journal stores them: a type, a version, and a JSON body.

The type and version stand beside the body so that a program can tell an event that it does
not know yet from one that is damaged: the first asks for an upgrade, the
second names the place.
"""

from typing import get_args

import msgspec

from nbflow.core.errors import JournalError, NewerSchema
from nbflow.core.events import VERSION, Event

_ENCODER = msgspec.json.Encoder()
#: One decoder a type: each also refuses a body whose own tag is another's.
_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {
    kind.__name__: msgspec.json.Decoder(kind) for kind in get_args(Event)
}

#: Names of all events that this program can read.
KNOWN_TYPES = frozenset(_DECODERS)


def encode(event: Event) -> bytes:
    """Return the body of `event`.

    Raises
    ------
    JournalError
        If a value inside is not JSON, or a text is not valid Unicode.
    """
    try:
        return _ENCODER.encode(event)
    except (TypeError, ValueError, OverflowError) as error:
        node = getattr(event, "node", None)
        about = f" of node {node!r}" if node else ""
        raise JournalError(
            f"{type(event).__name__}{about} cannot be written to the journal: {error}. "
            "Values there must be plain JSON with valid text; store others as artifacts"
        ) from error


def decode(kind: str, version: int, body: bytes, place: str) -> Event:
    """Return the event of type `kind` whose body is `body`.

    Parameters
    ----------
    kind, version, body
        As they were stored.
    place
        Where they were stored, for messages: the file, run and seq.

    Raises
    ------
    NewerSchema
        If the type is unknown, or the version is newer than this program's.
    JournalError
        If the body is damaged.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None or version > VERSION:
        raise NewerSchema(
            f"{place}: {kind} (version {version}) was written by a newer nbflow; "
            f"this one knows events up to version {VERSION}. Upgrade nbflow to read this run"
        )
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalError(
            f"{place}: the body of {kind} is damaged: {error}. "
            "Restore the journal from a backup; records before this one are intact"
        ) from error
