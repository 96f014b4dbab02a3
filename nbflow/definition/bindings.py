"""From what an author writes beside a parameter to a `Binding`.

Small plain JSON stands in the specification itself; any other value is serialised at once (so
that a later change to the object does not reach the flow) and kept as bytes under its digest.
Lists, tuples and mappings with a reference somewhere inside become `Items` and `Fields`, which
arrive as lists and mappings; without references they are one value and keep their type.

A secret is kept as the reference that it is. A text with no other references than secrets is a
value, and so are the lists and mappings that hold it.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from nbflow import guest
from nbflow.core.values import (
    INLINE_LIMIT_BYTES,
    Artifact,
    Binding,
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    Secret,
    SecretText,
    Text,
    Value,
    references,
    resolve,
)
from nbflow.definition.faults import Fault
from nbflow.definition.references import (
    Meaning,
    Node,
    OutputRef,
    ParamRef,
    holds_secret,
    parse_secrets,
    parse_text,
)

_UNSTORABLE_HINT = (
    "Pass plain data, a table or an array, or pass a path and let the node open it itself"
)

#: A value may contain itself. What is nested deeper is not searched for secrets.
_DEPTH_LIMIT = 64


def digest_of(data: bytes) -> str:
    """Return the name that the artifact store gives to `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Binder:
    """Turns values into bindings, and keeps the bytes of those that are not small plain JSON.

    Parameters
    ----------
    owner
        The draft for which it binds: references to nodes of another one are refused.
    """

    def __init__(self, owner: object) -> None:
        self._owner = owner
        #: Bytes of artifacts by digest.
        self.blobs: dict[str, bytes] = {}

    def bind(self, written: Any) -> Binding:
        """Return the binding that `written` means.

        Raises
        ------
        Fault
            If it has a faulty reference inside, or cannot be serialised.
        """
        return self._bound(written, parse_text)

    def value(self, data: Any) -> Value:
        """Return `data` as a value; in its texts, all but secrets is taken as it is.

        Raises
        ------
        Fault
            If it has a faulty secret inside, or cannot be serialised.
        """
        if isinstance(data, (Inline, Artifact, Items, Fields, SecretText)):
            return data  # of an earlier run
        if not _holds_secret(data, _DEPTH_LIMIT):
            # It keeps its type: a tuple stays a tuple.
            return self._stored(data)
        binding = self._bound(data, parse_secrets)
        if isinstance(binding, (FromParam, FromOutput, Text)) or any(references(binding)):
            raise Fault("it refers to a node or parameter of a flow", "Pass a plain value")
        return binding

    def keep(self, data: bytes) -> str:
        """Keep `data` for the artifact store and return its digest."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def _bound(self, written: Any, parse: Callable[[str], Meaning]) -> Binding:
        try:
            return self._bind(written, parse)
        except RecursionError:
            raise Fault(
                f"a {guest.type_name(written)} contains itself, or is nested too deep",
                "Pass a flatter value",
            ) from None

    def _bind(self, written: Any, parse: Callable[[str], Meaning]) -> Binding:
        if isinstance(written, Node):
            written = written.whole()
        if isinstance(written, (OutputRef, ParamRef)):
            return self._reference(written)
        if isinstance(written, Secret):
            return written
        if type(written) is str:
            meaning = parse(written)
            return self._stored(meaning) if isinstance(meaning, str) else self._simplest(meaning)
        if not holds_reference(written):
            return self._stored(written)
        if isinstance(written, dict):
            return self._simplest(
                Fields({_text_key(key): self._bind(item, parse) for key, item in written.items()})
            )
        return self._simplest(Items(tuple(self._bind(item, parse) for item in written)))

    def _stored(self, data: Any) -> Inline | Artifact:
        try:
            kind, stored = guest.dumps(data)
        except guest.Unstorable as error:
            raise Fault(str(error), _UNSTORABLE_HINT) from error
        if kind == "json" and len(stored) <= INLINE_LIMIT_BYTES:
            # Decoded anew: the author may go on changing the list that was written.
            return Inline(json.loads(stored) if type(data) in (list, dict) else data)
        digest = self.keep(stored)
        return Artifact(
            kind=kind,  # type: ignore[arg-type]  # the codec's kinds are all artifact kinds
            digest=digest,
            size_bytes=len(stored),
            type_name=guest.type_name(data),
            preview=guest.preview(data),
        )

    def _simplest(self, binding: Binding) -> Binding:
        """Turn a text, list or mapping without references to parameters or outputs into a value."""
        if any(references(binding)):
            return binding
        resolved = resolve(binding, {}, _no_output)
        return self._stored(resolved.value) if isinstance(resolved, Inline) else resolved

    def _reference(self, reference: OutputRef | ParamRef) -> FromParam | FromOutput:
        if reference.owner not in (None, self._owner):
            raise Fault(
                f"{reference} belongs to another flow",
                "Add that node to this flow, or run the other flow first and pass on its outputs",
            )
        if isinstance(reference, ParamRef):
            return FromParam(reference.name)
        return FromOutput(reference.node, reference.output)


def holds_reference(written: Any) -> bool:
    """Whether a reference, or text that may be one, stands somewhere inside `written`."""
    kind = type(written)
    if kind is str:
        return "${" in written
    if kind is list or kind is tuple:
        return any(holds_reference(item) for item in written)
    if kind is dict:
        return any(holds_reference(item) for item in written.values())
    return isinstance(written, (OutputRef, ParamRef, Node, Secret))


def _holds_secret(data: Any, depth: int) -> bool:
    """Whether a secret stands somewhere inside `data`, in an object or as text."""
    kind = type(data)
    if kind is str:
        return holds_secret(data)
    if kind in (list, tuple, dict):
        items = data.values() if kind is dict else data
        return depth > 0 and any(_holds_secret(item, depth - 1) for item in items)
    return isinstance(data, Secret)


def _no_output(reference: FromOutput) -> Value:
    raise AssertionError(f"{reference} in a binding that has no references")


def _text_key(key: object) -> str:
    if type(key) is not str:
        raise Fault(
            f"a mapping with references inside has the key {key!r}, which is not text",
            "Use text as keys",
        )
    return key
