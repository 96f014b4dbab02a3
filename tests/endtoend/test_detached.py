"""Runs that outlive their caller: whatever becomes of it, the run goes on and can be followed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager
from watchpoint import until

import nbflow
from nbflow.core.states import NodeState
from nbflow.kernels.provisioner import WarmProvisioner

FLOW = """\
import os, pathlib
import nbflow

folder = pathlib.Path({folder!r})
flow = nbflow.Flow("kept", base_dir=folder)

@flow.task
def first():
    with open(folder / "ran", "a") as file:
        file.write("first\\n")
    return 1

held = flow.notebook("held.ipynb", params={{"x": first["result"]}}, outputs=["y"])

@flow.task
def last(y=held["y"]):
    return y + 1
"""

HELD = """\
import os, time
while not os.path.exists({go!r}):
    time.sleep(0.02)
y = x + 1
"""


class Detached:
    """A folder with a flow whose second node waits, and the detached drivers of its runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / ".nbflow"
        self.flow = FLOW.format(folder=str(folder))
        (folder / "flow.py").write_text(self.flow)

    def drivers(self) -> list[psutil.Process]:
        """The detached drivers that live."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            ours = "nbflow.session.detached" in words and str(self.home) in words
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def driver(self) -> psutil.Process:
        """The one that lives; another one that was refused may be about to end."""
        until(lambda: len(self.drivers()) == 1)
        return self.drivers()[0]

    def go(self) -> None:
        """Let the waiting node go on."""
        (self.folder / "go").touch()

    def ran(self) -> list[str]:
        """What the first node has noted: its name, each time that it ran."""
        return (self.folder / "ran").read_text().split()

    def attach(self, run: str = "kept") -> nbflow.Run:
        return nbflow.attach(run, home=self.home)

    def command(self, *words: str) -> str:
        """Run ``nbflow …`` and return what it prints."""
        return subprocess.run(
            [sys.executable, "-m", "nbflow", *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    def let_end(self) -> None:
        """Wait until the drivers have ended by themselves."""
        until(lambda: not self.drivers())

    def end(self) -> None:
        """End whatever is left."""
        left = self.drivers()
        for process in left:
            process.terminate()
        _, alive = psutil.wait_procs(left, timeout=20)
        for process in alive:
            process.kill()
        if left:
            psutil.wait_procs(left, timeout=10)
            sweep_temporary_folders()


@pytest.fixture
def detached(tmp_path: Path, notebook) -> Iterator[Detached]:
    held = HELD.format(go=str(tmp_path / "go"))
    notebook("held.ipynb", "print('begun')", held, parameters="x = 0")
    kept = Detached(tmp_path)
    try:
        yield kept
    finally:
        kept.end()


def sweep_temporary_folders() -> None:
    """Remove what a process that was killed by force could not."""
    for left in Path(tempfile.gettempdir()).glob("nbflow-*"):
        shutil.rmtree(left)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def holds(run: nbflow.Run) -> None:
    """Wait until the notebook has come to the cell in which it waits."""
    until(lambda: "held" in run.view().progress and run.view().progress["held"].cell == 3)


def test_a_run_goes_on_after_its_caller_was_killed(detached) -> None:
    script = f"{detached.flow}\nflow.start(run_id='kept', detach=True)\nos.kill(os.getpid(), 9)\n"
    caller = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    assert caller.wait(120) == -signal.SIGKILL

    run = detached.attach()
    driver = detached.driver()
    assert run.driven_here is False
    assert driver.ppid() != caller.pid
    assert driver.terminal() is None
    assert os.getsid(driver.pid) not in (caller.pid, os.getsid(0), driver.pid)
    holds(run)
    assert run.view().progress["held"].total == 4, "as its driver has it"
    assert (run.output_dir / "telemetry.json").is_file()
    os.kill(driver.pid, signal.SIGHUP)

    detached.go()
    assert run.join(progress=False).status == "succeeded"
    assert run["last"].outputs["result"] == 3
    detached.let_end()
    assert detached.ran() == ["first"]
    left = sorted(it.name for it in run.output_dir.iterdir() if it.name != "samples.json")
    assert left == ["driver.log", "held.ipynb", "logs"]
    log = (run.output_dir / "driver.log").read_text()
    assert f"driven by process {driver.pid}" in log
    assert "run kept: succeeded" in log
    assert len(log.splitlines()) == 2, log


def test_a_shutdown_lets_go_in_good_order_and_the_run_goes_on_elsewhere(detached) -> None:
    told = json.loads(detached.command("run", "flow.py", "--detach", "--json", "--run-id", "kept"))
    assert told["run_id"] == "kept"
    assert told["status"] == "running"
    assert set(told["nodes"]) == {"first", "held", "last"}
    run = detached.attach()
    holds(run)
    with pytest.raises(nbflow.RunHeld):
        run.resume(detach=True)

    detached.driver().send_signal(signal.SIGTERM)
    detached.let_end()
    assert run.status == "interrupted"
    assert run["held"].reason.kind == "interrupted"
    assert "stopped by SIGTERM" in run["held"].reason.message
    assert not (run.output_dir / "telemetry.json").exists()
    assert "a signal asked for that" in (run.output_dir / "driver.log").read_text()

    words = detached.command("resume", "kept", "--detach")
    assert "goes on by itself" in words
    assert "nbflow events kept --follow" in words
    detached.go()
    assert detached.command("events", "kept", "--follow").splitlines()[-1].endswith("succeeded")
    assert run.wait(60) == "succeeded"
    assert run["held"].attempts == 2
    assert detached.ran() == ["first"]
    detached.let_end()


def test_a_detached_run_is_cancelled_from_anywhere(detached) -> None:
    run = load(detached).start(run_id="kept", detach=True)
    holds(run)
    assert detached.command("cancel", "kept").endswith("asked to cancel it\n")
    assert run.wait(60) == "cancelled"
    with pytest.raises(nbflow.RunCancelled):
        run.join(progress=False)
    detached.let_end()
    detached.go()
    assert run.resume(detach=True).wait(60) == "succeeded"
    detached.let_end()
    run.close()


def test_a_killed_detached_driver_reads_as_interrupted_at_once(detached) -> None:
    run = load(detached).start(run_id="kept", detach=True)
    holds(run)
    family = detached.driver().children(recursive=True)
    assert len(family) >= 2, "a worker and a kernel"
    detached.driver().kill()
    assert run.wait(20) == "interrupted"
    assert not psutil.wait_procs(family, timeout=10)[1], "the driver's processes end with it"
    sweep_temporary_folders()
    detached.go()
    assert run.resume(progress=False).status == "succeeded"
    assert detached.ran() == ["first"]


def test_a_detached_notebook_is_written_to_its_place(detached, notebook) -> None:
    notebook("note.ipynb", "print('made')")
    detached.command("run", "note.ipynb", "made/out.ipynb", "--detach", "--run-id", "single")
    run = detached.attach("single")
    assert run.wait(60) == "succeeded"
    detached.let_end()
    assert "made" in (detached.folder / "made" / "out.ipynb").read_text()


def test_a_run_that_a_node_has_detached_outlives_the_kernel_of_the_node(
    detached, notebook, tmp_path
) -> None:
    notebook(
        "starts.ipynb",
        # What a kernel has started ends with it; for this one, all that is its is looked for.
        "import subprocess; sleeper = subprocess.Popen(['sleep', '600']).pid",
        detached.flow,
        "flow.start(run_id='kept', detach=True)",
    )
    outer = nbflow.Flow("outer", base_dir=tmp_path)
    outer.notebook("starts.ipynb", outputs=["sleeper"])
    outer = outer.run(home=tmp_path / "outer", progress=False)
    until(lambda: not is_alive(outer["starts"].outputs["sleeper"]), timeout_s=10)
    outer.close()

    run = detached.attach()
    holds(run)
    detached.go()
    assert run.wait(60) == "succeeded"
    detached.let_end()


def test_a_detached_run_uses_a_cluster_by_its_address(detached, outside) -> None:
    outside.add_worker()
    run = load(detached).start(run_id="kept", detach=True, cluster=outside.address)
    holds(run)
    assert not detached.driver().children(), "the workers are another one's"
    detached.go()
    assert run.wait(60) == "succeeded"
    detached.let_end()
    run.close()


def load(detached: Detached) -> nbflow.Flow:
    return nbflow.load(detached.folder / "flow.py")


class Kernel:
    """A Jupyter kernel, as a notebook server has it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, source: str) -> str:
        """Run a cell and return what it prints."""
        printed: list[str] = []

        def hear(message: dict) -> None:
            content = message["content"]
            printed.append(content.get("text", "") + "\n".join(content.get("traceback", ())))

        reply = self.client.execute_interactive(
            textwrap.dedent(source), timeout=120, output_hook=hear, allow_stdin=False
        )
        assert reply["content"]["status"] == "ok", "".join(printed)
        return "".join(printed)

    def restart(self) -> None:
        """Restart it at once, as a person does who is tired of waiting."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=60)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel_of(detached) -> Iterator[Callable[[str], Kernel]]:
    kernels: list[Kernel] = []

    def start(name: str) -> Kernel:
        kernels.append(Kernel(name, detached.folder))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()
    if WarmProvisioner._shared is not None:
        WarmProvisioner.shared_pool().close()
        WarmProvisioner._shared = None


@pytest.fixture
def warm(tmp_path, monkeypatch) -> str:
    """The name of a warm kernel, whose end is the end of all that it has started."""
    from nbflow.kernels.installing import install_warm_kernel

    prefix = tmp_path / "prefix"
    install_warm_kernel("warm", display_name="Warm", preload=(), prefix=str(prefix))
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    return "warm"


ATTACHED = """
    import nbflow
    run = nbflow.attach("kept")
    print(run.status)
"""


@pytest.mark.parametrize("name", ["python3", "warm"])
@pytest.mark.usefixtures("warm")
def test_the_restart_of_a_jupyter_kernel_loses_nothing(detached, kernel_of, name) -> None:
    kernel = kernel_of(name)
    kernel.run(detached.flow)
    assert kernel.run("run = flow.start(run_id='kept', detach=True); print(run.id)") == "kept\n"
    holds(detached.attach())
    kernel.restart()

    assert kernel.run(ATTACHED) == "running\n"
    assert "held" in kernel.run("print(run.panel()._repr_mimebundle_()['text/html'])")
    detached.go()
    assert kernel.run("print(run.wait(60), run['last'].outputs['result'])") == "succeeded 3\n"
    detached.let_end()
    assert detached.ran() == ["first"]


def test_a_run_that_lives_in_a_kernel_is_interrupted_by_its_restart_and_resumed(
    detached, kernel_of
) -> None:
    kernel = kernel_of("python3")
    kernel.run(detached.flow)
    kernel.run("run = flow.start(run_id='kept')")
    run = detached.attach()
    holds(run)
    assert run.view().progress["held"].total == 4, "progress is told of every run"
    family = psutil.Process(kernel.manager.provisioner.pid).children(recursive=True)
    kernel.restart()
    assert not psutil.wait_procs(family, timeout=20)[1]
    sweep_temporary_folders()

    assert kernel.run(ATTACHED) == "interrupted\n"
    assert run["held"].status is NodeState.RUNNING, "as far as anybody knows"
    detached.go()
    kernel.run("run.resume(wait=False)")
    assert kernel.run("print(run.wait(60), run['last'].outputs['result'])") == "succeeded 3\n"
    assert detached.ran() == ["first"]
    assert run.view().progress == {}
