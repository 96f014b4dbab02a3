"""Fingerprints: what a node run was made of, so that a later one can tell what has changed.

The graph is data, so resuming needs no replay of code: a node that has succeeded is kept as long as
its fingerprint is still the same. A fingerprint has one digest for each cause that is worth a name;
two that differ name the cause (`difference`), and all of them together are the `key` under
which a result is found again by other runs.

Values count by content: small ones as they are, artifacts by digest. So a changed node whose
*outputs* come out equal changes nothing downstream, and the wave stops there. A node that merely
comes after another receives nothing that could be compared; it follows whenever that other one was
made of something else.
"""

import hashlib

import msgspec

from nbflow.core.states import ResetKind

#: Enters every key: results of programs that would have made them differently are not found.
_SCHEME = b"nbflow-fingerprint-1"

_DIGEST_BYTES = 16


class Fingerprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt is made of, as digests; an empty one stands for nothing of that kind."""

    code: str = ""
    modules: str = ""
    environment: str = ""
    files: str = ""
    params: str = ""
    upstream: str = ""

    @property
    def key(self) -> str:
        """The identity of the whole."""
        return digest(_SCHEME, *[part.encode() for part in msgspec.structs.astuple(self)])


#: Part of a fingerprint -> how its change is called, in the order in which causes are named.
_CAUSES: dict[str, tuple[ResetKind, str]] = {
    "code": ("code", "its code has changed"),
    "modules": ("code", "a local module that it imports has changed"),
    "environment": ("environment", "its interpreter, kernel, variables or packages have changed"),
    "files": ("file", "a file that it is declared to read has changed"),
    "params": ("parameter", "its parameters have changed"),
    "upstream": ("upstream", "what it receives, or comes after, has changed"),
}


def difference(before: Fingerprint, now: Fingerprint) -> tuple[ResetKind, str] | None:
    """Return the first cause for which `now` is not `before`, with a sentence; None if equal."""
    for part, cause in _CAUSES.items():
        if getattr(before, part) != getattr(now, part):
            return cause
    return None


def same_but_for_code(before: Fingerprint | None, now: Fingerprint | None) -> bool:
    """Whether two attempts are known to be made of the same, but perhaps for their own code."""
    return (
        before is not None
        and now is not None
        and msgspec.structs.replace(before, code="") == msgspec.structs.replace(now, code="")
    )


def digest(*pieces: bytes) -> str:
    """Return one digest of `pieces`; no two sequences of pieces are alike to it."""
    total = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for piece in pieces:
        total.update(len(piece).to_bytes(8))
        total.update(piece)
    return total.hexdigest()
