"""The pool follows demand, and lets go what nobody uses."""

import asyncio
import sys

import psutil
import pytest
from watchpoint import until

from nbflow.kernels import KernelStartFailed, WarmPool, Wishes, start_kernel
from nbflow.kernels.birth import Birth, IpykernelCommand
from nbflow.kernels.pool import NoWarmKernel


async def one(pool, tmp_path, *, start=start_kernel):
    kernel = await start("python3", cwd=tmp_path, env={}, wishes=Wishes(pool=pool))
    await kernel.shutdown()


def fork_servers():
    children = psutil.Process().children()
    return [child for child in children if "forkserver.py" in " ".join(child.cmdline())]


def test_kernels_one_after_the_other_find_one_ready(pool, tmp_path):
    async def scenario():
        for _ in range(4):
            await one(pool, tmp_path)
            while pool.stats().idle == 0:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
    stats = pool.stats()
    assert (stats.hits, stats.misses, stats.idle) == (3, 1, 1)
    assert len(stats.start_s) == 4


def test_no_more_wait_than_the_limit_however_many_were_asked_for(pool, tmp_path):
    async def scenario():
        await asyncio.gather(*(one(pool, tmp_path) for _ in range(5)))

    asyncio.run(scenario())
    until(lambda: pool.stats().idle == 2)


def test_idle_kernels_and_servers_end_when_nobody_comes(tmp_path):
    now = [0.0]
    pool = WarmPool(idle_limit=2, kernel_idle_s=10, server_idle_s=100, clock=lambda: now[0])
    try:
        asyncio.run(one(pool, tmp_path))
        until(lambda: pool.stats().idle == 1)
        (server,) = fork_servers()
        now[0] = 50.0
        until(lambda: pool.stats().idle == 0)
        assert pool.stats().idle_reaped == 1
        assert server.is_running()
        now[0] = 200.0
        until(lambda: not server.is_running())
    finally:
        pool.close()


def test_modules_that_are_asked_for_later_get_a_successor_that_has_all_of_them(pool, tmp_path, ask):
    async def scenario():
        for preload, known in (("yaml", "yaml"), ("requests", "yaml"), ("yaml", "requests")):
            wishes = Wishes(pool=pool, preload=(preload,))
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
            try:
                assert await ask(kernel, f"{known!r} in __import__('sys').modules")
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())
    assert pool.stats().servers_started == 2


def test_a_closed_pool_starts_nothing_and_has_ended_everything(tmp_path):
    pool = WarmPool(idle_limit=1)
    asyncio.run(one(pool, tmp_path))
    pool.close()
    assert fork_servers() == []
    with pytest.raises(NoWarmKernel):
        pool.prepare(Birth.of([sys.executable], [], {}), {}, ())


def test_where_no_server_can_start_kernels_start_in_the_ordinary_way(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("nbflow.kernels.forkserver.__file__", str(tmp_path / "missing.py"))
    asyncio.run(one(pool, tmp_path))
    stats = pool.stats()
    assert (stats.ordinary, stats.hits + stats.misses) == (1, 0)
    assert stats.servers_lost > 0


def test_the_pool_serves_several_threads_with_loops_of_their_own(pool, tmp_path):
    async def scenario():
        loops = [asyncio.to_thread(asyncio.run, one(pool, tmp_path)) for _ in range(4)]
        await asyncio.gather(*loops)

    asyncio.run(scenario())
    assert pool.stats().hits + pool.stats().misses == 4


def test_commands_that_start_the_kernel_of_this_python_are_told_from_others(tmp_path):
    ours = IpykernelCommand.parse([sys.executable, "-m", "ipykernel_launcher", "-f", "c", "--x"])
    assert ours is not None
    assert ours.is_this_python
    assert ours.connection_file() == "c"
    assert ours.other_arguments() == ("--x",)
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    theirs = IpykernelCommand.parse(
        [str(other), "-X", "dev", "-m", "ipykernel_launcher", "-f", "c"]
    )
    assert theirs is not None
    assert not theirs.is_this_python
    assert theirs.interpreter == (str(other), "-X", "dev")
    assert IpykernelCommand.parse(["Rscript", "-e", "IRkernel::main()"]) is None


def test_a_start_that_hangs_is_tried_once_more_on_fresh_channels(tmp_path, monkeypatch):
    hung = tmp_path / "hung"
    program = tmp_path / "sometimes.py"
    program.write_text(
        "import pathlib, runpy, sys, time\n"
        f"hung = pathlib.Path({str(hung)!r})\n"
        "if not hung.exists():\n"
        "    hung.write_text(sys.argv[sys.argv.index('-f') + 1])\n"
        "    time.sleep(1000)\n"
        "runpy.run_module('ipykernel_launcher', run_name='__main__', alter_sys=True)\n"
    )
    monkeypatch.setattr("nbflow.kernels.launching._HANG_S", 3.0)
    folder = tmp_path / "jupyter" / "kernels" / "sometimes"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(
        f'{{"argv": ["{sys.executable}", "{program}", "-f", "{{connection_file}}"],'
        '"display_name": "s", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    async def scenario(timeout_s):
        kernel = await start_kernel(
            "sometimes", cwd=tmp_path, env={}, start_timeout_s=timeout_s, wishes=Wishes()
        )
        try:
            assert kernel.manager.connection_file != hung.read_text()
        finally:
            await kernel.shutdown()

    asyncio.run(scenario(9.0))
    hung.unlink()
    with pytest.raises(KernelStartFailed, match="did not answer within 2 s"):
        asyncio.run(scenario(2.0))


def test_a_changed_configuration_of_ipython_is_seen_by_the_next_kernel(
    pool, tmp_path, ask, monkeypatch
):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    async def scenario():
        for banner in ("first", "second", "second"):
            profile = tmp_path / "ipython" / "profile_default"
            profile.mkdir(parents=True, exist_ok=True)
            line = f'c.IPKernelApp.exec_lines = ["b = {banner!r}"]'
            (profile / "ipython_config.py").write_text(line)
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=Wishes(pool))
            try:
                assert await ask(kernel, "b") == banner
                assert kernel.manager.provisioner.warm
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())
