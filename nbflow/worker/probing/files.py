"""Files of ``/proc``, read again and again.

To find such a file costs the system several times as much as to read it, and that is most of what a
look costs. So those of a kernel's own process are kept open (`KeptFiles`): few, since a worker has
many descriptors to keep.
"""

import os

_READ_BYTES = 8192


def read(path: bytes) -> bytes:
    """Return what a small file of ``/proc`` says.

    Raises
    ------
    OSError
        If it is gone, or may not be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


class KeptFiles:
    """Files that stay open from when they are first read until `close`."""

    def __init__(self) -> None:
        self._descriptors: dict[str, int] = {}
        self._closed = False

    def read(self, path: str) -> bytes:
        """Return what a file says now.

        Raises
        ------
        OSError
            If its process has ended, or it may not be read.
        """
        if self._closed:
            return read(path.encode())
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._descriptors[path] = descriptor
        return os.pread(descriptor, _READ_BYTES, 0)

    def close(self) -> None:
        """Close them all; what is read from now on is not kept open."""
        self._closed = True
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])
