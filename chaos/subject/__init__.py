"""The flow that is disturbed, and its notebooks."""

import shutil
from pathlib import Path


def lay_out(folder: Path) -> str:
    """Copy the flow into `folder`, and return what the command line calls it."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in Path(__file__).parent.iterdir():
        if source.suffix == ".ipynb" or source.name == "flow.py":
            shutil.copy(source, folder)
    return f"{folder / 'flow.py'}:flow"
