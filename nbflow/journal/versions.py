"""The version of each type of event, and how an older body becomes today's.

Versions are counted per type, from 1. Adding an optional field, or a type, needs none. Where a
field changes its name or form, the type's version rises, and an *upcaster* is added that turns
the former version's body into the next one's. Upcasters are never changed or removed: they
work on plain JSON, so that they do not depend on what the structs have become since.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

#: Returns the body of the next version; it may change the one that it is given.
Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Versions:
    """What is known of the versions of events.

    Parameters
    ----------
    current
        The versions that this program writes, of types that have had more than one.
    upcasters
        By type and version, how its body becomes that of the next version.

    Raises
    ------
    ValueError
        If there is a version from which no upcaster leads on.
    """

    current: Mapping[str, int]
    upcasters: Mapping[tuple[str, int], Upcaster]

    def __post_init__(self) -> None:
        steps = {(kind, step) for kind, last in self.current.items() for step in range(1, last)}
        if steps != set(self.upcasters):
            wrong = ", ".join(f"{kind} {step}" for kind, step in steps ^ set(self.upcasters))
            raise ValueError(f"exactly one upcaster is needed for each former version: {wrong}")

    def of(self, kind: str) -> int:
        """Return the version that this program writes of the type `kind`."""
        return self.current.get(kind, 1)

    def raised(self, kind: str, version: int, body: dict[str, Any]) -> dict[str, Any]:
        """Return `body`, which is of `version`, as today's version would have it."""
        for step in range(version, self.of(kind)):
            body = self.upcasters[kind, step](body)
        return body


#: The versions of this program's events.
HISTORY = Versions(current={}, upcasters={})
