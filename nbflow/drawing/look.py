"""How states look: always a colour *and* a glyph *and* a word, never colour alone.

The five hues keep their distance under the common colour blindnesses, and stand out on light and
dark ground alike. What has not begun is drawn hollow.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from nbflow.core.states import NodeState, RunStatus

BLUE = "#0060c0"
GREEN = "#38a36b"
RED = "#c1272d"
AMBER = "#d08700"
GREY = "#767b84"


class Look(msgspec.Struct, frozen=True):
    """How one state is shown. `rich` is the nearest named colour of a terminal."""

    glyph: str
    word: str
    colour: str
    rich: str
    hollow: bool = False


NODE_LOOKS: Mapping[NodeState, Look] = MappingProxyType(
    {
        NodeState.WAITING: Look("○", "waiting", GREY, "bright_black", hollow=True),
        NodeState.READY: Look("○", "ready", GREY, "bright_black", hollow=True),
        NodeState.QUEUED: Look("○", "queued", BLUE, "blue", hollow=True),
        NodeState.RUNNING: Look("▶", "running", BLUE, "blue"),
        NodeState.BACKING_OFF: Look("!", "backing off", AMBER, "yellow"),
        NodeState.IN_DOUBT: Look("?", "in doubt", AMBER, "yellow"),
        NodeState.SUCCEEDED: Look("✓", "succeeded", GREEN, "green"),
        NodeState.FAILED: Look("✕", "failed", RED, "red"),
        NodeState.CANCELLED: Look("■", "cancelled", GREY, "bright_black"),
        NodeState.SKIPPED: Look("–", "skipped", GREY, "bright_black"),  # noqa: RUF001 - a dash is the glyph
    }
)

RUN_LOOKS: Mapping[RunStatus, Look] = MappingProxyType(
    {
        RunStatus.SUBMITTED: Look("○", "submitted", GREY, "bright_black", hollow=True),
        RunStatus.RUNNING: Look("▶", "running", BLUE, "blue"),
        RunStatus.CANCELLING: Look("■", "cancelling", AMBER, "yellow"),
        RunStatus.SUCCEEDED: Look("✓", "succeeded", GREEN, "green"),
        RunStatus.FAILED: Look("✕", "failed", RED, "red"),
        RunStatus.CANCELLED: Look("■", "cancelled", GREY, "bright_black"),
        RunStatus.INTERRUPTED: Look("!", "interrupted", AMBER, "yellow"),
    }
)
