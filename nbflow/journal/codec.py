"""Events as the journal stores them: a type, a version, and a JSON body.

The type and version stand beside the body so that a program can tell an event that it does
not know yet from one that is damaged: the first asks for an upgrade, the
second names the place. Bodies of former versions are brought up to date as they are read;
they stay in the journal as they were written.
"""

from typing import Any, get_args

import msgspec

from nbflow.core.errors import JournalError, NewerSchema
from nbflow.core.events import Event
from nbflow.journal.versions import HISTORY, Versions

_ENCODER = msgspec.json.Encoder()
_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
#: One decoder a type: each also refuses a body whose own tag is another's.
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in _TYPES.items()}
_PLAIN = msgspec.json.Decoder(dict[str, Any])

#: Names of all events that this program can read.
KNOWN_TYPES = frozenset(_TYPES)


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


def decode(kind: str, version: int, body: bytes, place: str, versions: Versions = HISTORY) -> Event:
    """Return the event of type `kind` whose body is `body`.

    Parameters
    ----------
    kind, version, body
        As they were stored.
    place
        Where they were stored, for messages: the file, run and seq.
    versions
        Which versions there are.

    Raises
    ------
    NewerSchema
        If the type is unknown, or the version is newer than this program's.
    JournalError
        If the body is damaged.
    """
    current = versions.of(kind)
    if kind not in _TYPES or version > current:
        known = f"knows it up to version {current}" if kind in _TYPES else "does not know it"
        raise NewerSchema(
            f"{place}: {kind} (version {version}) was written by a newer nbflow; "
            f"this one {known}. Upgrade nbflow to read this run"
        )
    try:
        if version == current:
            return _DECODERS[kind].decode(body)
        return msgspec.convert(versions.raised(kind, version, _PLAIN.decode(body)), _TYPES[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError) as error:
        # LookupError: an upcaster misses what the body of that version always had.
        raise JournalError(
            f"{place}: the body of {kind} is damaged: {error}. "
            "Restore the journal from a backup; records before this one are intact"
        ) from error
