"""What one node of a flow may say of another: nodes, their outputs, flow parameters; and secrets.

An author writes references in three ways that mean the same: as objects
(``extract["rows"]``, ``flow.param("date")``), as text (``${extract.rows}``,
``${params.date}``), or as text made of objects (``f"data/{flow.param('date')}.csv"``). Text is
parsed wherever it stands, in a flow file and in Python alike; ``$${`` is a literal ``${``.

The output of a reference is an identifier, and a node's name may contain dots, so a reference is
split at its last dot.

``${env:NAME}`` and ``${keyring:SERVICE/USER}`` are secrets, and the only references that mean
something outside of a flow, too: in the parameters that a run is given.
"""

import re
from typing import Any, NoReturn, TypeAlias

from nbflow.core.ids import is_node_name
from nbflow.core.values import (
    SECRET_SOURCES,
    FromOutput,
    FromParam,
    Secret,
    Text,
    describe_reference,
)
from nbflow.definition.faults import Fault

#: The output that holds what a function returns.
RESULT = "result"
#: ``${params.x}`` is a flow parameter, so no node may have this name.
PARAMS = "params"

_TOKEN = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<body>[^{}]*)\}|(?P<open>\$\{)")
_SECRET = re.compile(
    rf"(?P<escape>\$)?\$\{{\s*(?P<body>(?:{'|'.join(sorted(SECRET_SOURCES))}):[^{{}}]*)\}}"
)
_ESCAPE_HINT = "Write $${ for a literal ${"

#: A piece of a text.
Part: TypeAlias = str | FromParam | FromOutput | Secret
#: What a text means.
Meaning: TypeAlias = Part | Text


class _Reference:
    """Common ground of the references: they mean something inside a flow's definition alone."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"{self} is not known yet, so it cannot be formatted with {spec!r}")
        return str(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self} stands inside an object that nbflow does not look into; "
            "pass references as parameters, alone or in a list, tuple, dict or text"
        )


class ParamRef(_Reference):
    """A parameter of the flow, to be written beside a node's parameter."""

    __slots__ = ("name", "owner")

    def __init__(self, name: str, owner: object = None) -> None:
        self.name = name
        #: The flow's draft; None if unknown.
        self.owner = owner

    def __str__(self) -> str:
        return describe_reference(FromParam(self.name))

    def __repr__(self) -> str:
        return f"flow.param({self.name!r})"


class OutputRef(_Reference):
    """A node's output, to be written beside another node's parameter."""

    __slots__ = ("node", "output", "owner")

    def __init__(self, node: str, output: str, owner: object = None) -> None:
        self.node = node
        self.output = output
        #: The draft of the node's flow; None if unknown.
        self.owner = owner

    def __str__(self) -> str:
        return describe_reference(FromOutput(self.node, self.output))

    def __repr__(self) -> str:
        return f"Node({self.node!r})[{self.output!r}]"


class Node:
    """A node of a flow, as its author holds it: ``node["output"]`` is a data edge to be."""

    __slots__ = ("function", "kind", "name", "outputs", "owner")

    # Without this, `__getitem__` would make Python iterate over a node for ever.
    __iter__ = None

    def __init__(
        self, name: str, kind: str, outputs: tuple[str, ...], owner: object, function: Any = None
    ) -> None:
        self.name = name
        #: ``notebook`` or ``function``.
        self.kind = kind
        #: The outputs that the node declares; a notebook may have any besides.
        self.outputs = outputs
        self.owner = owner
        #: The Python function of a function node, as it was before it became a node.
        self.function = function

    def __getitem__(self, output: str) -> OutputRef:
        if not isinstance(output, str):
            raise TypeError(f"an output is asked for by its name, not by {output!r}")
        return OutputRef(self.name, output, self.owner)

    @property
    def output(self) -> OutputRef:
        """What a function node returns: the same as ``node["result"]``."""
        return self[RESULT]

    def whole(self) -> OutputRef:
        """Return what the node itself stands for as a value.

        Raises
        ------
        Fault
            If it is a notebook, or a function that names several outputs.
        """
        if self.kind == "function" and RESULT in self.outputs:
            return self.output
        named = f"one of its outputs ({', '.join(self.outputs)})" if self.outputs else "an output"
        example = self.outputs[0] if self.outputs else "name"
        raise Fault(
            f"the whole node {self.name!r} was given where a value is needed",
            f'Pick {named}: node["{example}"]',
        )

    def __format__(self, spec: str) -> str:
        return format(self.whole(), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the node {self.name!r} is part of a flow's definition and cannot be used inside a "
            'task; hand its output on as a parameter: def task(value=node["output"])'
        )

    def __repr__(self) -> str:
        return f"<{self.kind} node {self.name!r}>"


def parse_text(text: str) -> Meaning:
    """Return what `text` means: itself, one reference, or a text with references inside.

    Raises
    ------
    Fault
        If a ``${…}`` in it is no reference.
    """
    if "${" not in text:
        return text
    parts: list[Part] = []
    end = 0
    for token in _TOKEN.finditer(text):
        literal = text[end : token.start()]
        if token["escape"]:
            parts.append(literal + "${")
        elif token["open"]:
            raise Fault(f"a reference in {_short(text)} is not closed by }}", _ESCAPE_HINT)
        else:
            parts += [literal, parse_reference(token["body"])]
        end = token.end()
    return _joined([*parts, text[end:]])


def parse_secrets(text: str) -> Meaning:
    """Return what `text` means where secrets are its only references: in a run's parameters.

    Any other ``${…}`` is text. ``$${env:NAME}`` is the text ``${env:NAME}``; see `literal`.

    Raises
    ------
    Fault
        If a secret in it has no possible name.
    """
    parts: list[Part] = []
    end = 0
    for token in _SECRET.finditer(text):
        parts.append(text[end : token.start()])
        parts.append(token[0][1:] if token["escape"] else parse_secret(token["body"]))
        end = token.end()
    return _joined([*parts, text[end:]]) if parts else text


def holds_secret(text: str) -> bool:
    """Whether `parse_secrets` finds anything in `text`."""
    return _SECRET.search(text) is not None


def literal(text: str) -> str:
    """Return the text that `parse_secrets` takes for `text` itself, secrets and all."""
    return _SECRET.sub(lambda token: "$" + token[0], text)


def parse_reference(body: str) -> FromParam | FromOutput | Secret:
    """Return the reference that is written as ``${body}``.

    Raises
    ------
    Fault
        If it names no output, parameter or secret.
    """
    if ":" in body:
        return parse_secret(body)
    node, dot, output = body.strip().rpartition(".")
    written = f"${{{body}}}"
    if not dot:
        raise Fault(
            f"the reference {written} names no output",
            f"Write ${{NODE.OUTPUT}} or ${{{PARAMS}.NAME}}. {_ESCAPE_HINT}",
        )
    if not output.isidentifier() or not is_node_name(node):
        raise Fault(
            f"{written} is not a reference",
            f"Write ${{NODE.OUTPUT}} or ${{{PARAMS}.NAME}}, where an output's name is made of "
            f"letters, digits and underscores. {_ESCAPE_HINT}",
        )
    return FromParam(output) if node == PARAMS else FromOutput(node, output)


def parse_secret(body: str) -> Secret:
    """Return the secret that is written as ``${body}``.

    Raises
    ------
    Fault
        If it has no source, or no name.
    """
    try:
        return Secret(body.strip())
    except ValueError:
        raise Fault(
            f"${{{body}}} is not a secret",
            f"Write ${{env:NAME}} or ${{keyring:SERVICE/USER}}. {_ESCAPE_HINT}",
        ) from None


def _joined(parts: list[Part]) -> Meaning:
    """Merge neighbouring pieces of plain text, and unwrap what then stands alone."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part != "":
            merged.append(part)
    return merged[0] if len(merged) == 1 else Text(tuple(merged))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")  # noqa: PLR2004 - characters shown
