"""One workshop for all notebooks: its kernels are warm, and some wait between two tests."""

from collections.abc import Iterator
from pathlib import Path

import leftovers
import pytest
from staged_cells import Workshop


@pytest.fixture(scope="module")
def workshop(
    tmp_path_factory: pytest.TempPathFactory, temporary_folder: Path
) -> Iterator[Workshop]:
    """Notebooks run here; `temporary_folder` is where their kernels' sockets are."""
    with leftovers.none_of(temporary_folder):
        made = Workshop(tmp_path_factory.mktemp("workshop"))
        yield made
        made.close()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Kernels that wait are the workshop's, and what is left is looked for when it closes."""
