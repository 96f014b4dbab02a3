"""Digests: what an artifact is called, and which file holds it."""

import hashlib
import re
from pathlib import Path

from nbflow.core.errors import ArtifactError

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BLOB = re.compile(r"sha256/[0-9a-f]{2}/([0-9a-f]{64})")


def digest_of(data: bytes) -> str:
    """Return the digest of `data`, as ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """Return the digest of a file's content, in constant memory."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def blob_name(digest: str) -> str:
    """Return the name under which a store keeps the artifact, relative to its root.

    Raises
    ------
    ArtifactError
        If `digest` is not one. As names are built from nothing else, none leads out of the store.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ArtifactError(
            f"{digest[:100]!r} is not an artifact's digest, which reads 'sha256:' and 64 hex digits"
        )
    return f"sha256/{match[1][:2]}/{match[1]}"


def digest_in(name: str) -> str | None:
    """Return the digest of the artifact that a store keeps under `name`; None for other files."""
    match = _BLOB.fullmatch(name)
    return None if match is None else f"sha256:{match[1]}"
