"""What ARCHITECTURE.md draws is what the code does."""

from pathlib import Path

from nbflow.core import states
from nbflow.drawing import state_diagram

PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"


def between(text: str, name: str) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    return text.partition(begin)[2].partition(end)[0].strip()


def test_the_state_diagram_is_drawn_from_the_table() -> None:
    drawn = between(PAGE.read_text(), "state diagram")

    assert drawn == f"```mermaid\n{state_diagram().strip()}\n```", (
        "paste the output of nbflow.drawing.state_diagram() between the markers"
    )


def test_every_state_and_status_is_in_the_diagram() -> None:
    drawn = between(PAGE.read_text(), "state diagram")

    for state in (*states.NODE_TRANSITIONS, *states.RUN_TRANSITIONS):
        assert state in drawn
