"""Other programs get warm kernels by a kernel specification: nbclient, and a Jupyter server."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import nbclient
import nbformat
import psutil
import pytest
from jupyter_client.asynchronous import AsyncKernelClient
from watchpoint import until

from nbflow.kernels.provisioner import WarmProvisioner


@pytest.fixture
def warm_kernelspec(tmp_path, monkeypatch):
    """A kernel `warm`, as ``nbflow kernel install`` writes it."""
    folder = tmp_path / "jupyter" / "kernels" / "warm"
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python (warm)",
        "language": "python",
        "metadata": {
            "kernel_provisioner": {
                "provisioner_name": "nbflow-warm",
                "config": {"preload": ["yaml"]},
            }
        },
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return "warm"


@pytest.fixture
def shared_pool_closed():
    yield
    WarmProvisioner.shared_pool().close()
    WarmProvisioner._shared = None


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


@pytest.mark.usefixtures("shared_pool_closed")
def test_nbclient_runs_notebooks_on_warm_kernels(warm_kernelspec, tmp_path):
    loaded = (
        "import os, sys; print('yaml' in sys.modules, os.getcwd(), os.getsid(0) == os.getpid())"
    )
    for _ in range(2):
        client = nbclient.NotebookClient(
            notebook(loaded),
            kernel_name=warm_kernelspec,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        executed = client.execute()
        assert executed.cells[0].outputs[0].text == f"True {tmp_path} True\n"
    stats = WarmProvisioner.shared_pool().stats()
    assert stats.hits + stats.misses == 2
    assert stats.ordinary == 0


@pytest.mark.usefixtures("shared_pool_closed")
def test_nbclient_learns_of_a_warm_kernels_death(warm_kernelspec):
    client = nbclient.NotebookClient(
        notebook("import os; os.kill(os.getpid(), 9)"), kernel_name=warm_kernelspec
    )
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        client.execute()


def test_a_jupyter_server_starts_restarts_interrupts_and_ends_warm_kernels(
    warm_kernelspec, tmp_path
):
    token = secrets.token_hex()
    runtime = tmp_path / "runtime"
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
                f"--ServerApp.root_dir={tmp_path}",
                f"--IdentityProvider.token={token}",
            ],
            env={**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime)},
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: any(info.stat().st_size for info in runtime.glob("jpserver-*.json")))
        (info,) = runtime.glob("jpserver-*.json")
        url = json.loads(info.read_text())["url"]

        def ask(method, path, body=None):
            request = urllib.request.Request(
                f"{url}api/{path}",
                method=method,
                data=None if body is None else json.dumps(body).encode(),
                headers={"Authorization": f"token {token}"},
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.loads(response.read() or "null")

        def listens():
            # The file is there before anybody listens at the address in it.
            try:
                ask("GET", "status")
            except urllib.error.URLError:
                return False
            return True

        until(listens)
        kernel = ask("POST", "kernels", {"name": warm_kernelspec})
        connection = runtime / f"kernel-{kernel['id']}.json"
        first = asyncio.run(
            _evaluated(connection, "(__import__('os').getpid(), __import__('os').getppid())")
        )
        assert "forkserver.py" in " ".join(psutil.Process(first[1]).cmdline())
        ask("POST", f"kernels/{kernel['id']}/restart")
        second = asyncio.run(
            _evaluated(connection, "(__import__('os').getpid(), __import__('os').getppid())")
        )
        assert second[0] != first[0]
        assert second[1] == first[1]
        ask("DELETE", f"kernels/{kernel['id']}")
        until(lambda: not psutil.pid_exists(second[0]))
        family = psutil.Process(server.pid).children(recursive=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    assert not psutil.wait_procs(family, timeout=10)[1]


async def _evaluated(connection_file, expression):
    client = AsyncKernelClient(connection_file=str(connection_file))
    client.load_connection_file()
    client.start_channels(stdin=False, hb=False)
    try:
        await client.wait_for_ready(timeout=30)
        client.execute("", silent=True, user_expressions={"value": expression})
        reply = await client.get_shell_msg(timeout=30)
        while "user_expressions" not in reply["content"]:
            reply = await client.get_shell_msg(timeout=30)
        return json.loads(
            reply["content"]["user_expressions"]["value"]["data"]["text/plain"]
            .replace("(", "[")
            .replace(")", "]")
        )
    finally:
        client.stop_channels()
