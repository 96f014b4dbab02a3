"""Real kernels: how they start, how they end, and what is left."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.kernels import (
    EvaluationFailed,
    KernelDied,
    KernelStartFailed,
    NoSuchKernel,
    UnusableKernel,
    kernel_language,
    kernel_names,
    start_kernel,
)
from nbflow.kernels.errors import describe_exit


@pytest.fixture
def kernelspec(tmp_path, monkeypatch):
    """Install a kernel specification that only this test sees."""

    def install(name, argv, language="python"):
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": argv, "display_name": name, "language": language}
        (folder / "kernel.json").write_text(json.dumps(spec))

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return install


def private_folder(kernel):
    return Path(kernel.manager.connection_file).parent


def test_a_kernel_lives_in_its_own_session_on_private_sockets_and_leaves_nothing(tmp_path):
    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={"NBFLOW_NODE": "n"})
        folder = private_folder(kernel)
        try:
            assert kernel.language_info["name"] == "python"
            assert kernel.manager.transport == "ipc"
            assert folder.stat().st_mode & 0o077 == 0
            assert os.getsid(kernel.pid) == kernel.pid
            assert kernel.memory_bytes() > 1_000_000
            facts = "(__import__('os').getcwd(), __import__('os').environ['NBFLOW_NODE'])"
            target = tmp_path / "facts"
            await kernel.evaluate(f"open({str(target)!r}, 'w').write(repr({facts}))")
            assert target.read_text() == repr((str(tmp_path), "n"))
            with pytest.raises(EvaluationFailed, match="ZeroDivisionError"):
                await kernel.evaluate("1 / 0")
            with pytest.raises(KernelDied, match="signal 9"):
                await kernel.evaluate("__import__('os').kill(__import__('os').getpid(), 9)")
            assert await kernel.exit_code() == -9
        finally:
            await kernel.shutdown()
            await kernel.shutdown()
        assert not folder.exists()

    asyncio.run(scenario())


def test_shutdown_lets_exit_hooks_run(tmp_path):
    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={})
        try:
            hook = "__import__('pathlib').Path('bye').touch"
            await kernel.evaluate(f"__import__('atexit').register({hook})")
        finally:
            await kernel.shutdown()

    asyncio.run(scenario())
    assert (tmp_path / "bye").exists()


def test_shutdown_ends_what_cells_have_started(tmp_path):
    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={})
        try:
            child = "__import__('subprocess').Popen(['sleep', '100'])"
            await kernel.evaluate(f"__import__('pathlib').Path('pid').write_text(str({child}.pid))")
            process = psutil.Process(int((tmp_path / "pid").read_text()))
        finally:
            await kernel.shutdown(grace_s=0)
        psutil.wait_procs([process], timeout=5)
        assert not process.is_running()

    asyncio.run(scenario())


def test_a_long_temporary_folder_does_not_break_the_sockets(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={})
        await kernel.shutdown()
        assert kernel.manager.transport == "ipc"

    asyncio.run(scenario())
    assert list(long.iterdir()) == []


def test_a_kernel_busy_in_compiled_code_dies_with_its_worker(tmp_path):
    program = f"""
import asyncio, os, signal
from pathlib import Path
from nbflow.kernels import start_kernel

async def main():
    kernel = await start_kernel("python3", cwd=Path({str(tmp_path)!r}), env={{}})
    busy = "(open('pid', 'w').write(str({{}})), sum(range(10**12)))"
    kernel.client.execute(busy.format(kernel.pid))
    while not (Path({str(tmp_path)!r}) / "pid").exists():
        await asyncio.sleep(0.01)
    print(kernel.pid, Path(kernel.manager.connection_file).parent, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

    worker = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    assert worker.returncode == -signal.SIGKILL
    pid, folder = worker.stdout.decode().split()
    # The folder is what a killed worker cannot remove.
    shutil.rmtree(folder)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid)).wait(5)


def test_what_is_installed_is_looked_up_anew_when_it_changes(kernelspec, tmp_path, monkeypatch):
    with pytest.raises(NoSuchKernel):
        kernel_language("own")
    kernelspec("own", ["own"], language="first")
    assert kernel_language("own") == "first"
    written = tmp_path / "jupyter" / "kernels" / "own" / "kernel.json"
    written.write_text(json.dumps({"argv": ["own"], "display_name": "", "language": "second"}))
    assert kernel_language("own") == "second"
    # One that comes before it.
    shutil.copytree(tmp_path / "jupyter", tmp_path / "before")
    before = tmp_path / "before" / "kernels" / "own" / "kernel.json"
    before.write_text(json.dumps({"argv": ["own"], "display_name": "", "language": "third"}))
    monkeypatch.setenv("JUPYTER_PATH", f"{tmp_path / 'before'}:{tmp_path / 'jupyter'}")
    assert kernel_language("own") == "third"
    shutil.rmtree(before.parent)
    assert kernel_language("own") == "second"
    written.unlink()
    with pytest.raises(NoSuchKernel):
        kernel_language("own")


def test_an_unknown_kernel_is_named_with_those_that_are_installed(tmp_path):
    with pytest.raises(NoSuchKernel, match=r"'ghost'.*installed:.*python3"):
        asyncio.run(start_kernel("ghost", cwd=tmp_path, env={}))
    with pytest.raises(NoSuchKernel):
        kernel_language("ghost")
    assert "python3" in kernel_names()
    assert kernel_language("python3") == "python"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"argv": broken', "cannot be read .JSONDecodeError: Expecting value"),
        ("[]", "cannot be read .TypeError"),
        ('{"argv": 3, "display_name": "x"}', "cannot be read .TraitError"),
        ('{"display_name": "x"}', "has no argv"),
    ],
)
def test_a_faulty_specification_is_named(tmp_path, kernelspec, text, words):
    kernelspec("faulty", ["x"])
    file = tmp_path / "jupyter" / "kernels" / "faulty" / "kernel.json"
    file.write_text(text)
    with pytest.raises(UnusableKernel, match=rf"'faulty'.*{file} {words}.*Install"):
        asyncio.run(start_kernel("faulty", cwd=tmp_path, env={}))


def test_a_kernel_that_ends_at_once_tells_what_it_wrote(tmp_path, kernelspec):
    kernelspec("broken", [sys.executable, "-c", "import sys; sys.exit('no licence found')"])
    with pytest.raises(KernelStartFailed, match=r"exited with code 1.*\nno licence found") as info:
        asyncio.run(start_kernel("broken", cwd=tmp_path, env={}))
    assert not info.value.timed_out


def test_a_program_that_is_missing_is_named(tmp_path, kernelspec):
    kernelspec("absent", ["/no/such/program", "{connection_file}"])
    with pytest.raises(KernelStartFailed, match="/no/such/program"):
        asyncio.run(start_kernel("absent", cwd=tmp_path, env={}))


def test_a_kernel_that_never_answers_is_given_up_and_killed(tmp_path, kernelspec):
    kernelspec("silent", [sys.executable, "-c", "import time; time.sleep(100)"])
    with pytest.raises(KernelStartFailed, match=r"did not answer within 0.5 s") as info:
        asyncio.run(start_kernel("silent", cwd=tmp_path, env={}, start_timeout_s=0.5))
    assert info.value.timed_out


def test_a_missing_working_directory_is_told(tmp_path):
    with pytest.raises(KernelStartFailed, match=r"gone does not exist here\. Create it") as info:
        asyncio.run(start_kernel("python3", cwd=tmp_path / "gone", env={}))
    assert "wrote nothing" not in str(info.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (None, "does not answer"),
        (-9, "signal 9 (SIGKILL: often the system, when memory ran out)"),
        (-10, "signal 10 (SIGUSR1)"),
        (-64 - 1, "signal 65"),
    ],
)
def test_an_exit_reads_in_words(code, words):
    assert words in describe_exit(code)
