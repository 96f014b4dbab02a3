"""Count the bytes of output that a notebook keeps, against its limits.

What counts is what stays: outputs that are cleared are given back, and a display that is updated,
or a widget whose state changes, counts once, by its size as it is now. So a plot that is redrawn a
thousand times is no flood, and a cell that prints without end is one.
"""

from nbflow.core.policies import OutputLimit


class Ledger:
    """What the cells of one notebook have given out.

    Parameters
    ----------
    limit
        Of each cell, and of all together.
    taken_bytes
        What the cells before have taken.
    """

    def __init__(self, limit: OutputLimit, taken_bytes: int = 0) -> None:
        self._limit = limit
        self._cell = 0
        self._notebook = taken_bytes
        self._displays: dict[str, int] = {}
        self._widgets: dict[str, int] = {}
        #: Set by who counts: nothing more is taken from this cell.
        self.full = False

    def begin_cell(self) -> None:
        """Count for another cell from here on."""
        self._cell = 0
        self.full = False

    def clear_cell(self) -> None:
        """Give back what the cell has taken: its outputs are gone."""
        self._notebook -= self._cell
        self.begin_cell()

    @property
    def taken_bytes(self) -> int:
        """What all cells have taken."""
        return self._notebook

    @property
    def room_bytes(self) -> int | None:
        """What the cell may still give out; None is no limit."""
        rooms = [limit - used for _, limit, used in self._limits()]
        return max(0, min(rooms)) if rooms else None

    @property
    def reached(self) -> str:
        """Which limit is the nearest, in words."""
        whose, limit, _ = min(self._limits(), key=lambda each: each[1] - each[2])
        return f"{whose} limit of {megabytes(limit)}"

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many bytes can be taken."""
        room = self.room_bytes
        return not self.full and (room is None or size_bytes <= room)

    def take(self, size_bytes: int) -> bool:
        """Take so many bytes, which may be negative; False, and nothing, if there is no room."""
        if size_bytes > 0 and not self.has_room(size_bytes):
            return False
        self._cell = max(0, self._cell + size_bytes)
        self._notebook += size_bytes
        return True

    def take_display(self, display_id: str, size_bytes: int, *, shown: int, new: bool) -> bool:
        """Take a display that others may be copies of.

        Parameters
        ----------
        display_id
            All displays of this id show the same.
        size_bytes
            Its size from now on.
        shown
            How often it is in the notebook by now.
        new
            Whether it is to be shown once more.
        """
        growth = (size_bytes - self._displays.get(display_id, 0)) * shown
        taken = self.take(growth + (size_bytes if new else 0))
        if taken:
            self._displays[display_id] = size_bytes
        return taken

    def take_widget(self, comm_id: str, size_bytes: int) -> bool:
        """Take a widget's message; it counts by the largest of its messages."""
        growth = size_bytes - self._widgets.get(comm_id, 0)
        taken = growth <= 0 or self.take(growth)
        if taken and growth > 0:
            self._widgets[comm_id] = size_bytes
        return taken

    def _limits(self) -> list[tuple[str, int, int]]:
        both = (
            ("this cell's", self._limit.cell, self._cell),
            ("the notebook's", self._limit.notebook, self._notebook),
        )
        return [(whose, limit, used) for whose, limit, used in both if limit is not None]


def megabytes(size_bytes: int) -> str:
    """Return a size for people."""
    return f"{size_bytes / 1_000_000:,.4g} MB"
