"""A real JupyterLab, once for the browser tests, and a real browser for each of them."""

import pytest
from lab_browser import Notebook, chromium, running_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with running_lab(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("notebooks")) as lab:
        yield lab


@pytest.fixture
def notebook(lab, tmp_path, request):
    """Give a function that opens a notebook with some cells."""
    opened = []
    with chromium(tmp_path / "profile") as context:

        def open_notebook(*cells):
            name = f"{request.node.name}.ipynb"
            opened.append(Notebook(context.new_page(), lab, name, cells))
            return opened[-1]

        yield open_notebook
        for each in opened:
            each.close()
