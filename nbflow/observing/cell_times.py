"""When the cells of an executed notebook ran, as papermill's metadata in it says."""

from datetime import datetime
from typing import NamedTuple

import msgspec


class CellTime(NamedTuple):
    """When one cell ran, in seconds since the epoch."""

    #: Its index in the executed notebook.
    cell: int
    started_at: float
    ended_at: float
    failed: bool


class _Papermill(msgspec.Struct):
    start_time: str | None = None
    end_time: str | None = None
    exception: bool | None = None


class _Metadata(msgspec.Struct):
    papermill: _Papermill = msgspec.field(default_factory=_Papermill)


class _Cell(msgspec.Struct):
    cell_type: str = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Notebook(msgspec.Struct):
    cells: list[_Cell] = []


_decoder = msgspec.json.Decoder(_Notebook)


def cell_times(notebook: bytes) -> list[CellTime]:
    """Return when the code cells ran that have begun and ended, in their order.

    Outputs and sources are passed over without being decoded.

    Raises
    ------
    ValueError
        If it is no notebook as papermill writes them.
    """
    times: list[CellTime] = []
    for index, cell in enumerate(_decoder.decode(notebook).cells):
        told = cell.metadata.papermill
        if cell.cell_type == "code" and told.start_time and told.end_time:
            begun, ended = (datetime.fromisoformat(it) for it in (told.start_time, told.end_time))
            failed = bool(told.exception)
            times.append(CellTime(index, begun.timestamp(), ended.timestamp(), failed))
    return times
