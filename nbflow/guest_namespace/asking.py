"""How a cell asks for a checkpoint. It runs where nbflow is installed, as any function."""

import os
from pathlib import Path

from nbflow.guest import OUTPUTS_VARIABLE

#: A file in the outputs folder, which is the attempt's own. Names with a dot are no outputs.
REQUEST_NAME = ".checkpoint"


def checkpoint() -> None:
    """Ask that the notebook's variables be stored when this cell has ended.

    If the notebook is cut off later, its node goes on from there in a fresh kernel, as long as that
    is assured to give the same. Outside of a run this does nothing.
    """
    place = os.environ.get(OUTPUTS_VARIABLE)
    if place is not None:
        Path(place, REQUEST_NAME).touch()
