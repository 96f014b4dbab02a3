"""Names of things: runs, nodes, groups, attempts.

Identifiers live at the very bottom, so that nothing has to import upward to
say what it talks about.

A node name is one or more segments joined by ``/`` (``load``,
``models/forest``). All but the last segment are *groups*: ``models/forest``
and ``models/linear`` share the group ``models``, which limits and pictures use.
"""

import random
import re
from datetime import UTC, datetime

import msgspec

#: One segment of a node name. The same alphabet as file names and Dask keys can hold.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
_NODE_NAME = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_RUN_ID = re.compile(_SEGMENT)
#: The password may hold an ``@`` itself: all up to the last one before the path goes.
_CREDENTIALS = re.compile(r"://[^/?#]*@")

#: Letters and digits that are not mistaken for each other when read aloud.
_SUFFIX_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def is_node_name(text: str) -> bool:
    """Whether `text` may name a node."""
    return _NODE_NAME.fullmatch(text) is not None


def is_run_id(text: str) -> bool:
    """Whether `text` may name a run (also as a folder)."""
    return _RUN_ID.fullmatch(text) is not None


def new_run_id(flow: str, at: float, rng: random.Random) -> str:
    """Return a fresh run id that sorts by time and says which flow it belongs to.

    Parameters
    ----------
    flow
        The flow's name.
    at
        Seconds since the epoch.
    rng
        Source of the four random characters that keep two runs of one second apart.
    """
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%d-%H%M%S")
    suffix = "".join(rng.choice(_SUFFIX_ALPHABET) for _ in range(4))
    label = re.sub(r"[^A-Za-z0-9_.]+", "-", flow).strip("-.") or "run"
    return f"{label}-{stamp}-{suffix}"


def without_credentials(url: str) -> str:
    """Return `url` without the user and password that it may have.

    >>> without_credentials("ftp://ada:secret@host/runs")
    'ftp://host/runs'
    """
    return _CREDENTIALS.sub("://", url, count=1)


def groups_of(node: str) -> tuple[str, ...]:
    """Return the groups that hold `node`, outermost first.

    >>> groups_of("models/trees/forest")
    ('models', 'models/trees')
    """
    segments = node.split("/")[:-1]
    return tuple("/".join(segments[: depth + 1]) for depth in range(len(segments)))


class AttemptId(msgspec.Struct, frozen=True, order=True):
    """One try of one node in one run, made by one driver.

    `epoch` is the driver's fence: a result that carries an older epoch than the
    journal's belongs to a driver that has been replaced, and is refused.
    """

    run: str
    node: str
    number: int
    epoch: int

    @property
    def idempotency_key(self) -> str:
        """Stable across repeated tries of the same node: what `NBFLOW_ATTEMPT` is built on."""
        return f"{self.run}/{self.node}"

    def __str__(self) -> str:
        return f"{self.node}#{self.number}"
