"""Large bytes on their way through Dask, each as a frame of its own.

What a task carries for a worker that does not share the store would, inside the task's message, be
copied with it at each station: encoded, named (a graph's token is made of the text of all that is
in it, several times its size), pickled, unpickled, pickled again. A `Payload` is pickled as a
reference to a buffer, which Dask sends as it is; tasks of one graph that carry the same payload
send it once, and a scheduler holds it once.

Small bytes stay in the message: a frame of their own would cost more than it saves.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pickle import PickleBuffer
from typing import Any, TypeAlias, TypeVar

import dask
import msgspec

from nbflow.core.attempts import AttemptTask, Outcome

#: From how many bytes on something travels as a payload.
LARGE_BYTES = 1 << 18

#: Digests and payloads, in turns: as plain arguments they are nothing that Dask looks into.
Parts: TypeAlias = tuple[Any, ...]
#: Makes, of a digest and bytes, what is to travel.
Wrap: TypeAlias = Callable[[str, bytes], object]

_WARNING = "distributed.admin.large-graph-warning-threshold"
#: Dask's configuration belongs to the process, and several drivers may be in it.
_configuring = threading.Lock()


_Carrier = TypeVar("_Carrier", AttemptTask, Outcome)


class Payload:
    """Bytes that are pickled out of band.

    What unpickles them has a `PickleBuffer`, and sends that on as it is; a scheduler does so, and
    needs no nbflow for it. Who unpickles that, a worker, has a view of the bytes.

    Parameters
    ----------
    data
        The bytes.
    digest
        Of them.
    """

    __slots__ = ("_data", "_digest")

    def __init__(self, data: bytes, digest: str) -> None:
        self._data = data
        self._digest = digest

    def __reduce__(self) -> tuple[Any, ...]:
        """Refer to the bytes; Dask pickles graphs and tasks with a protocol that can."""
        return PickleBuffer, (PickleBuffer(self._data),)

    def __dask_tokenize__(self) -> str:
        """Return what stands for the bytes in a token."""
        return self._digest


def large_in(carriers: Iterable[AttemptTask | Outcome]) -> frozenset[str]:
    """Return the digests of what would travel as payloads."""
    return frozenset(
        digest
        for carrier in carriers
        for digest, data in carrier.carried.items()
        if len(data) >= LARGE_BYTES
    )


def sharing() -> Wrap:
    """Return what wraps bytes for the tasks of one graph: the same ones in the same payload."""
    made: dict[str, Payload] = {}
    return lambda digest, data: made.setdefault(digest, Payload(data, digest))


def pack(carriers: Sequence[_Carrier], wrap: Wrap = lambda _, data: data) -> tuple[bytes, Parts]:
    """Encode tasks or outcomes, and set apart what they carry and is large.

    Parameters
    ----------
    carriers
        Of one kind.
    wrap
        Makes, of a digest and bytes, what is to travel. Results are not wrapped: Dask has a way of
        its own for bytes that are a result, or in one, and asks for them by a protocol that knows
        no buffers.
    """
    large = large_in(carriers)
    if not large:
        return msgspec.msgpack.encode(carriers), ()
    parts: dict[str, object] = {}
    light: list[_Carrier] = []
    for carrier in carriers:
        own = large & carrier.carried.keys()
        parts |= {digest: wrap(digest, carrier.carried[digest]) for digest in own}
        rest = {digest: data for digest, data in carrier.carried.items() if digest not in own}
        light.append(msgspec.structs.replace(carrier, carried=rest))
    return msgspec.msgpack.encode(light), tuple(itertools.chain.from_iterable(parts.items()))


def joined(carriers: list[_Carrier], parts: Sequence[Any]) -> list[_Carrier]:
    """Return tasks or outcomes with what was set apart for any of them."""
    if not parts:
        return carriers
    apart = {digest: bytes(part) for digest, part in zip(parts[::2], parts[1::2], strict=True)}
    return [
        msgspec.structs.replace(carrier, carried=carrier.carried | apart) for carrier in carriers
    ]


@contextmanager
def unremarked() -> Iterator[None]:
    """Keep Dask from warning of large graphs: nothing that its user could change.

    Only a submission goes in here, which neither waits nor calls back.
    """
    with _configuring, dask.config.set({_WARNING: 1 << 60}):
        yield
