"""The panel in Voila: no cells, no JupyterLab, and a plain page, where contrast can be judged."""

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab_browser import Panel, running_lab
from test_panel_browser import DRAWN, SETUP, STAGED

pytestmark = pytest.mark.timeout(300)

SHOWN = "stage.succeed('load').start('left').fail('right')\npanel"


def options(port, root):
    return [
        "--no-browser",
        f"--port={port}",
        "--Voila.ip=127.0.0.1",
        "--Voila.root_dir=" + str(root),
        "--VoilaConfiguration.show_tracebacks=True",
        str(root),
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_draws_itself_with_enough_contrast(browser, tmp_path, theme):
    root, home = tmp_path / "notebooks", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    cells = [nbformat.v4.new_code_cell(SETUP + STAGED), nbformat.v4.new_code_cell(SHOWN)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), root / "run.ipynb")
    with running_lab(home, root, "voila", options, "/") as server:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}/voila/render/run.ipynb?theme={theme}")
        page.wait_for_function(DRAWN, arg=["succeeded", "running", "failed"])
        panel = Panel(page, page.locator(".nbf"), 0)
        panel.choose("right", "Story")
        panel.wait_for_text(".nbf-body", "AttemptFailed")
        for view in ("Graph", "Timeline", "Table"):
            panel.show(view)
            found = Axe().run(page, context=".nbf").response
            assert "color-contrast" in {each["id"] for each in found["passes"]}
            serious = [
                each for each in found["violations"] if each["impact"] in ("serious", "critical")
            ]
            assert serious == []
        page.close()
