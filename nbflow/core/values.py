"""Values that move between nodes, and the bindings that say where they come from.

A *value* is what a node hands on or receives. It is either `Inline` (small,
exactly JSON: it stands in the journal) or an `Artifact` (bytes in the store,
addressed by their SHA-256), or a list or mapping of those. A node may also receive a `Secret`, or
a `SecretText` with secrets inside; both stay references until the worker that needs them resolves
them.

A *binding* is what a flow's author writes beside a parameter: a value, a flow
parameter, another node's output, a text with references inside, or a list or
mapping of bindings. `resolve` turns a binding into a value once everything it
refers to is known.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

#: Values whose JSON is larger than this become artifacts, to keep the journal small.
INLINE_LIMIT_BYTES = 8 * 1024

ArtifactKind: TypeAlias = Literal[
    "json", "parquet", "npy", "pickle", "file", "notebook", "text", "namespace"
]


class Inline(msgspec.Struct, frozen=True, tag="inline"):
    """A value that is exactly JSON: null, bool, int, finite float, str, list, dict of str."""

    value: Any


class Artifact(msgspec.Struct, frozen=True, tag="artifact", omit_defaults=True):
    """A reference to bytes in the artifact store.

    `type_name` names the Python type that was stored and `preview` is a short text
    for people; neither is needed to load it.
    """

    kind: ArtifactKind
    digest: str
    size_bytes: int
    type_name: str = ""
    preview: str = ""


class Secret(msgspec.Struct, frozen=True, tag="secret"):
    """A reference to a text that only workers may know: it is resolved where it is used.

    Parameters
    ----------
    source
        Where workers look: ``"env"``, their environment, or ``"keyring"``, their keyring. Or both
        parts in one: ``"env:TOKEN"``.
    name
        The variable, or ``service/user`` of the keyring.

    Raises
    ------
    ValueError
        If there is no such source, or the name cannot be one of its names.
    """

    source: str
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            source, _, name = self.source.partition(":")
            msgspec.structs.force_setattr(self, "source", source)
            msgspec.structs.force_setattr(self, "name", name)
        if self.source not in SECRET_SOURCES:
            raise ValueError(f"{self.source!r} is no source of secrets: {_SECRETS_ARE}")
        if not self.name or not self.name.isprintable() or set(self.name) & set("{}"):
            raise ValueError(f"{self.name!r} cannot be the name of a secret: {_SECRETS_ARE}")
        if self.source == "keyring" and not all(self.name.rpartition("/")):
            raise ValueError(f"{self.name!r} is not of the form service/user: {_SECRETS_ARE}")

    def __str__(self) -> str:
        return f"${{{self.source}:{self.name}}}"


#: Where a secret can come from.
SECRET_SOURCES = frozenset({"env", "keyring"})
_SECRETS_ARE = "write env:NAME, or keyring:SERVICE/USER"


class SecretText(msgspec.Struct, frozen=True, tag="secret-text"):
    """A text with secrets inside, which is as secret as they are."""

    parts: tuple[str | Secret, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


class FromParam(msgspec.Struct, frozen=True, tag="param"):
    """The flow parameter `name`."""

    name: str


class FromOutput(msgspec.Struct, frozen=True, tag="output"):
    """The output `output` of the node `node`: a data edge."""

    node: str
    output: str


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Text with references inside, as in ``data/${params.date}.csv``."""

    parts: tuple[str | FromParam | FromOutput | Secret, ...]


class Items(msgspec.Struct, frozen=True, tag="items"):
    """A list, some of whose items are not plain JSON."""

    items: tuple["Binding", ...]


class Fields(msgspec.Struct, frozen=True, tag="fields"):
    """A mapping, some of whose values are not plain JSON."""

    fields: dict[str, "Binding"]


#: What a node hands on or receives. Inside `Items` and `Fields` too, all is resolved.
Value: TypeAlias = Inline | Artifact | Secret | SecretText | Items | Fields
#: What a flow's author may write beside a parameter.
Binding: TypeAlias = Value | FromParam | FromOutput | Text


class NotText(ValueError):
    """A reference inside a text led to a value that has no plain text form."""


def references(binding: Binding) -> Iterator[FromParam | FromOutput]:
    """Yield every reference inside `binding`, in the order in which it is written."""
    match binding:
        case FromParam() | FromOutput():
            yield binding
        case Text(parts):
            yield from (part for part in parts if isinstance(part, (FromParam, FromOutput)))
        case Items(items):
            for item in items:
                yield from references(item)
        case Fields(fields):
            for field in fields.values():
                yield from references(field)


def artifacts_in(value: Binding) -> Iterator[Artifact]:
    """Yield every artifact inside `value`."""
    match value:
        case Artifact():
            yield value
        case Items(items):
            for item in items:
                yield from artifacts_in(item)
        case Fields(fields):
            for field in fields.values():
                yield from artifacts_in(field)


def secrets_in(value: Binding) -> Iterator[Secret]:
    """Yield every secret inside `value`."""
    match value:
        case Secret():
            yield value
        case SecretText(parts) | Text(parts):
            yield from (part for part in parts if isinstance(part, Secret))
        case Items(items):
            for item in items:
                yield from secrets_in(item)
        case Fields(fields):
            for field in fields.values():
                yield from secrets_in(field)


def resolve(
    binding: Binding,
    params: Mapping[str, Value],
    output: Callable[[FromOutput], Value],
) -> Value:
    """Replace every reference in `binding` by the value it stands for.

    Parameters
    ----------
    binding
        What the author wrote.
    params
        The flow's parameters in this run.
    output
        Gives the value of a node's output.

    Raises
    ------
    NotText
        If a reference inside a text leads to something other than a plain scalar.
    """
    match binding:
        case FromParam(name):
            return params[name]
        case FromOutput():
            return output(binding)
        case Text(parts):
            return _joined([piece for part in parts for piece in _as_text(part, params, output)])
        case Items(items):
            return _simplified(Items(tuple(resolve(item, params, output) for item in items)))
        case Fields(fields):
            return _simplified(
                Fields({key: resolve(item, params, output) for key, item in fields.items()})
            )
        case _:  # Inline, Artifact, Secret, SecretText: resolved already
            return binding


def _as_text(
    part: str | FromParam | FromOutput | Secret,
    params: Mapping[str, Value],
    output: Callable[[FromOutput], Value],
) -> tuple[str | Secret, ...]:
    """Return the pieces of text that `part` stands for; secrets remain references."""
    if isinstance(part, (str, Secret)):
        return (part,)
    value = resolve(part, params, output)
    match value:
        case Inline(value=str() | int() | float() | bool()):
            return (str(value.value),)
        case Secret():
            return (value,)
        case SecretText(parts):
            return parts
        case _:
            raise NotText(f"{describe_reference(part)} is not a plain text or number")


def _joined(pieces: list[str | Secret]) -> Value:
    if not any(isinstance(piece, Secret) for piece in pieces):
        return Inline("".join(map(str, pieces)))
    match [piece for piece in pieces if piece != ""]:
        case [Secret() as alone]:
            return alone
        case shown:
            return SecretText(tuple(shown))


def describe_reference(reference: FromParam | FromOutput) -> str:
    """Return `reference` as it is written in a flow file."""
    if isinstance(reference, FromParam):
        return f"${{params.{reference.name}}}"
    return f"${{{reference.node}.{reference.output}}}"


def _simplified(value: Items | Fields) -> Value:
    """Turn a list or mapping that holds nothing but JSON back into `Inline`."""
    if isinstance(value, Items):
        plain_items = [item.value for item in value.items if isinstance(item, Inline)]
        return Inline(plain_items) if len(plain_items) == len(value.items) else value
    plain_fields = {k: item.value for k, item in value.fields.items() if isinstance(item, Inline)}
    return Inline(plain_fields) if len(plain_fields) == len(value.fields) else value
