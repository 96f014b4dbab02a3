"""A real JupyterLab and a notebook in it, driven through a real browser."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import nbformat
import psutil
from playwright.sync_api import sync_playwright

#: Generous: a cold JupyterLab on a busy machine. In seconds.
START_S = 120
STOP_S = 30
#: The system's Chromium; without one, the browser that `make test` has Playwright fetch.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Lab:
    """A running server: its address and the folder that it serves."""

    def __init__(self, url, root):
        self.url = url
        self.root = root


@contextlib.contextmanager
def running_lab(home, root, module="jupyterlab", options=None, ready="/api/status"):
    """A JupyterLab (or another server of Jupyter's) that serves the folder `root`."""
    port = _free_port()
    log = home / "server.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", module, *(options or _options)(port, root)],
            env=_environment(home),
            cwd=root,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}{ready}", server, log)
        yield Lab(f"http://127.0.0.1:{port}", root)
    finally:
        _end(server)


@contextlib.contextmanager
def chromium(profile, width=1300, height=900):
    # One for each test: it keeps processes of closed pages for later, and Playwright's event loop
    # counts as running in this thread while it lives, so that other tests could not start theirs.
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            headless=True,
            args=FLAGS,
            viewport={"width": width, "height": height},
        )
        yield context
        context.close()


class Notebook:
    """A notebook open in JupyterLab, driven from outside."""

    def __init__(self, page, lab, name, cells):
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        sources = [nbformat.v4.new_code_cell(cell) for cell in cells]
        book = nbformat.v4.new_notebook(cells=sources, metadata=metadata)
        nbformat.write(book, lab.root / name)
        self.page = page
        self.path = lab.root / name
        #: What the page complained about.
        self.errors = []
        page.set_default_timeout(START_S * 1000)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{lab.url}/lab/tree/{name}?reset", wait_until="commit")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
        self._js("await w.context.ready; await w.sessionContext.ready;")
        self._js("await w.sessionContext.session.kernel.info;")

    def run(self, index):
        """Run a cell and wait for its end."""
        ok = self._js(f"w.content.activeCellIndex = {index}; return await {_RUN_CELL};")
        assert ok is not False, self.outputs(index)

    def start(self, index):
        """Run a cell, and do not wait."""
        self._js(f"w.content.activeCellIndex = {index}; {_RUN_CELL};")

    def prompt(self, index):
        """What stands before a cell: ``[*]:`` while it is busy or queued."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)
        return cell.locator(".jp-InputPrompt").inner_text()

    def wait_idle(self, index):
        """Wait until the cell has ended."""
        self.page.wait_for_function(
            """index => !document.querySelectorAll('.jp-Notebook .jp-CodeCell')[index]
                 .querySelector('.jp-InputPrompt').innerText.includes('*')""",
            arg=index,
        )

    def panel(self, index=0):
        """One of the panels, once it has drawn itself."""
        panel = self.page.locator(".nbf").nth(index)
        panel.and_(self.page.locator("[data-ready]")).wait_for()
        return Panel(self.page, panel, index)

    def outputs(self, index):
        return self._js(f"return w.content.widgets[{index}].model.toJSON().outputs;")

    def restart(self):
        """Restart the kernel, and wait until it answers."""
        self._js("await w.sessionContext.session.kernel.restart();")
        self._js("await w.sessionContext.session.kernel.info;")

    def reload(self):
        """Save the notebook, and load the page anew."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        self.page.reload(wait_until="commit")
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
        self._js("await w.context.ready; await w.sessionContext.ready;")

    def theme(self, name):
        self.page.evaluate(
            "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name
        )
        light = json.dumps("Dark" not in name)
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")

    def close(self):
        # The kernel may be gone already, with the cell that it ran.
        with contextlib.suppress(Exception):
            self._js("await w.sessionContext.shutdown();")
        self.page.close()

    def _js(self, body):
        code = f"async () => {{ const w = jupyterapp.shell.currentWidget; {body} }}"
        return self.page.evaluate(code)


class Panel:
    """A panel in a page, used as a person would."""

    def __init__(self, page, element, index):
        self.page = page
        self.element = element
        self._index = index

    def click(self, selector, text=""):
        """Click what has this text; by script, as Playwright's own click waits for the kernel."""
        self._click("find(el, ...sought)", [selector, text])

    def show(self, view):
        """Turn to the graph, the timeline or the table."""
        self.click(".nbf-left .nbf-tabs button", view)

    def choose(self, node, tab="Overview"):
        """Choose a node in the table, and one of its tabs."""
        self.show("Table")
        self._click("row(el, sought)", node)
        self.click(".nbf-node .nbf-tabs button", tab)

    def wait_for_row(self, node, *texts):
        """Wait until the table has a row of this node that says all of this."""
        self.show("Table")
        self._wait(
            "(el, [node, texts]) => texts.every(text => row(el, node)?.innerText.includes(text))",
            [node, list(texts)],
        )

    def wait_for_text(self, selector, text):
        """Wait until a part of the panel says this."""
        self._wait("(el, [s, t]) => el.querySelector(s)?.innerText.includes(t)", [selector, text])

    def key(self, selector, key):
        """Press a key in a part of the panel."""
        self.js(
            """(el, [selector, key]) => {
                 const target = el.querySelector(selector);
                 target.focus();
                 target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
               }""",
            [selector, key],
        )

    def js(self, function, argument=None):
        """Call a function of the panel's element and the argument."""
        return self.page.evaluate(self._with_element(function), argument)

    def _click(self, found, sought):
        """Click what is found, as soon as it is there: a moment later it may be drawn anew."""
        self._wait(
            f"(el, sought) => {{ const it = {found}; it?.click(); return Boolean(it); }}", sought
        )

    def _wait(self, function, argument):
        self.page.wait_for_function(self._with_element(function), arg=argument)

    def _with_element(self, function):
        return (
            f"argument => {{ {_FINDERS} return ({function})(panels()[{self._index}], argument); }}"
        )


_FINDERS = """
const panels = () => document.querySelectorAll('.nbf');
const row = (el, node) => [...el.querySelectorAll('.nbf-window .nbf-row')].find(
    each => !each.hidden && each.dataset.node === node);
const find = (el, selector, text) => [...el.querySelectorAll(selector)].find(
    each => each.innerText.includes(text) && !each.disabled && each.checkVisibility());
"""

_RUN_CELL = "jupyterapp.commands.execute('notebook:run-cell')"


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _options(port, root):
    return [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        "--expose-app-in-browser",
        f"--ServerApp.root_dir={root}",
    ]


def _environment(home):
    settings = home / "settings"
    chosen = settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    chosen.parent.mkdir(parents=True)
    chosen.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    return {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }


def _wait_until_up(url, server, log):
    # A server that has bound its port answers; until then the connection is refused at once.
    for _ in range(START_S * 4):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=START_S).close()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.25)
            break
    raise AssertionError(f"the server did not start:\n{log.read_text()[-2000:]}")


def _end(server):
    """Stop the server's whole tree (kernels have sessions of their own); nothing may be left."""
    tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    server.terminate()
    _, left = psutil.wait_procs(tree, timeout=STOP_S)
    for process in left:
        process.kill()
    server.wait(STOP_S)
    psutil.wait_procs(left, timeout=STOP_S)
    assert not left, f"JupyterLab left {left}"
