"""A forked kernel is as fresh as a spawned one, and shares nothing with its siblings."""

import asyncio
import os
import sys

import psutil
import pytest

from nbflow.kernels import KernelDied, Wishes, start_kernel

#: What a kernel sees of its own process; each is compared between a forked and a spawned kernel.
SAME = {
    "arguments": "[a for a in __import__('sys').argv[2:3] + __import__('sys').argv[:1]][1:]",
    "executable": "__import__('sys').executable",
    "flags": "list(__import__('sys').flags)",
    "path": "__import__('sys').path",
    "main": "[__name__, __import__('sys').modules['__main__'].__dict__ is globals()]",
    "signals": "[str(__import__('signal').getsignal(n)) for n in (2, 13, 15, 17)]",
    "blocked": "[int(s) for s in __import__('signal').pthread_sigmask(0, [])]",
    "directory": "[__import__('os').getcwd(), get_ipython().starting_dir, str(_dh[0])]",
    "application": "str(type(__import__('ipykernel.kernelapp').kernelapp.IPKernelApp.instance()))",
    "history": "get_ipython().history_manager.hist_file",
    "sessions": "[get_ipython().history_manager.session_number, [row[0] for row in "
    "get_ipython().history_manager.db.execute('SELECT session FROM sessions')]]",
    "umask": "[__import__('os').umask(0o22), __import__('os').umask(0o22)][1]",
    "backend": "__import__('os').environ['MPLBACKEND']",
    "recursion": "__import__('sys').getrecursionlimit()",
    "collector": "[__import__('gc').isenabled(), __import__('gc').get_threshold()]",
    "leads its session": "__import__('os').getsid(0) == __import__('os').getpid()",
    "standard streams": "[__import__('os').readlink(f'/proc/self/fd/{n}')[:5] for n in (0, 1, 2)]",
    "environment": "sorted(n for n in __import__('os').environ if n != 'NBFLOW_TEST')",
    "warning filters": "len(__import__('warnings').filters)",
    "process name": "__import__('multiprocessing').current_process().name",
}


def warm(pool, *preload, **more):
    return Wishes(pool=pool, preload=preload, **more)


def test_a_forked_kernel_sees_what_a_spawned_one_sees(pool, tmp_path, ask):
    async def seen(wishes):
        kernel = await start_kernel("python3", cwd=tmp_path, env={"OWN": "1"}, wishes=wishes)
        try:
            answers = {what: await ask(kernel, expression) for what, expression in SAME.items()}
            return kernel.manager.provisioner.warm, answers
        finally:
            await kernel.shutdown()

    async def scenario():
        return await seen(warm(pool)), await seen(Wishes())

    (forked, in_forked), (spawned, in_spawned) = asyncio.run(scenario())
    assert forked
    assert not spawned
    assert in_forked == in_spawned
    assert "OWN" in in_forked["environment"]


def test_what_one_kernel_has_said_of_itself_holds_for_its_siblings(pool, tmp_path):
    async def said():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        try:
            reply = await kernel.client.kernel_info(reply=True, timeout=60)
            # Its end is a tip that each draws for itself.
            return [{**it, "banner": ""} for it in (kernel.info, reply["content"])]
        finally:
            await kernel.shutdown()

    async def scenario():
        return await said(), await said()

    (first, first_reply), (second, second_reply) = asyncio.run(scenario())
    assert first == first_reply == second == second_reply


def test_siblings_share_no_descriptor_no_random_state_and_no_module(pool, tmp_path, ask, do):
    facts = (
        "[__import__('random').random(), float(__import__('numpy').random.rand()),"
        " __import__('uuid').uuid4().hex, __import__('tempfile').mktemp(),"
        " __import__('multiprocessing').current_process().authkey.hex(),"
        " __import__('secrets').token_hex()]"
    )

    async def scenario():
        first, second = await asyncio.gather(
            *(
                start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool, "numpy"))
                for _ in range(2)
            )
        )
        try:
            ours, theirs = await ask(first, facts), await ask(second, facts)
            assert all(one != other for one, other in zip(ours, theirs, strict=True))
            await do(first, "import sys, types; sys.modules['intruder'] = types.ModuleType('x')")
            await do(first, "import numpy; numpy.intruder = 1; shared = 1")
            assert await ask(second, "'intruder' in __import__('sys').modules") is False
            assert await ask(second, "hasattr(__import__('numpy'), 'intruder')") is False
            assert await ask(second, "'shared' in globals()") is False
            links = "/proc/self/fd/"
            opened = (
                "[__import__('os').readlink(link) for link in"
                f" [{links!r} + fd for fd in __import__('os').listdir({links!r})]"
                " if __import__('os').path.lexists(link)]"
            )
            shared = set(await ask(first, opened)) & set(await ask(second, opened))
            assert not {name for name in shared if name.startswith(("socket", "pipe"))}
        finally:
            await asyncio.gather(first.shutdown(), second.shutdown())

    asyncio.run(scenario())


def test_a_killed_kernel_takes_neither_its_siblings_nor_its_server_along(pool, tmp_path, ask):
    async def scenario():
        first = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        second = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        try:
            await first.kill()
            assert await ask(second, "1 + 1") == 2
        finally:
            await first.shutdown()
            await second.shutdown()

    asyncio.run(scenario())
    assert pool.stats().servers_lost == 0


def test_only_what_was_preloaded_is_loaded(pool, tmp_path, ask):
    async def modules(wishes):
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
        try:
            # IPython loads a part of itself at the first cell that is kept.
            await kernel.client.execute("None", reply=True)
            return set(await ask(kernel, "list(__import__('sys').modules)"))
        finally:
            await kernel.shutdown()

    async def scenario():
        return await modules(warm(pool)), await modules(warm(pool, "yaml")), await modules(Wishes())

    bare, with_yaml, spawned = asyncio.run(scenario())
    assert "yaml" not in bare
    assert "yaml" in with_yaml
    assert not {name for name in bare if name.startswith("nbflow")}
    third_party = {name.partition(".")[0] for name in bare - spawned} - set(sys.stdlib_module_names)
    # ipykernel loads it itself when it ends.
    assert third_party <= {"psutil"}


def test_local_modules_are_found_and_hide_installed_ones(pool, tmp_path, ask):
    (tmp_path / "yaml.py").write_text("mine = True\n")
    (tmp_path / "helper.py").write_text("answer = 42\n")

    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool, "yaml"))
        try:
            assert await ask(kernel, "__import__('yaml').mine") is True
            assert await ask(kernel, "__import__('helper').answer") == 42
            assert not kernel.manager.provisioner.warm
        finally:
            await kernel.shutdown()

    asyncio.run(scenario())
    assert pool.stats().ordinary == 1


def test_a_local_extension_of_ipython_hides_the_installed_one(pool, tmp_path, ask):
    (tmp_path / "storemagic.py").write_text(
        "def load_ipython_extension(shell):\n    shell.user_ns['mine'] = True\n"
    )

    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        try:
            assert await ask(kernel, "mine") is True
        finally:
            await kernel.shutdown()

    asyncio.run(scenario())
    assert pool.stats().ordinary == 1


def test_variables_that_are_read_early_make_another_fork_server(pool, tmp_path, ask):
    async def scenario():
        for value in ("1", "2", "1"):
            kernel = await start_kernel(
                "python3", cwd=tmp_path, env={"OMP_NUM_THREADS": value}, wishes=warm(pool)
            )
            try:
                assert await ask(kernel, "__import__('os').environ['OMP_NUM_THREADS']") == value
                assert kernel.manager.provisioner.warm
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())
    assert pool.stats().servers_started == 2


def test_cores_and_priority_hold_for_every_thread_of_warm_and_ordinary_kernels(pool, tmp_path, ask):
    core = min(os.sched_getaffinity(0))
    facts = (
        "[sorted({c for t in __import__('os').listdir('/proc/self/task')"
        " for c in __import__('os').sched_getaffinity(int(t))}), __import__('os').nice(0)]"
    )

    async def scenario():
        for wishes in (warm(pool, cpus=(core,), nice=3), Wishes(cpus=(core,), nice=3)):
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
            try:
                assert await ask(kernel, facts) == [[core], os.nice(0) + 3]
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())


#: What a notebook may leave to the end of its process.
LEFT_OPEN = """
import atexit, ctypes, logging, pathlib, threading, local_module
forgotten = open("forgotten", "w"); forgotten.write("x" * 100)
binary = open("binary", "wb"); binary.write(b"x" * 100)
logging.held_elsewhere = open("held", "w"); logging.held_elsewhere.write("x" * 100)
class Destroyed:
    def __del__(self, touch=pathlib.Path("destroyed").touch): touch()
destroyed = Destroyed()
ring = Destroyed.__new__(Destroyed); ring.itself = ring
atexit.register(pathlib.Path("hook").touch)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fopen(b"c", b"w"))
libc.fputs(b"x" * 100, stream)
def late():
    threading.main_thread().join()
    pathlib.Path("thread").touch()
threading.Thread(target=late).start()
"""


def test_what_was_left_to_the_end_of_the_process_is_done(pool, tmp_path, do):
    (tmp_path / "local_module.py").write_text("file = open('local', 'w')\nfile.write('x' * 100)\n")

    async def scenario(name, wishes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "local_module.py").write_text((tmp_path / "local_module.py").read_text())
        kernel = await start_kernel("python3", cwd=folder, env={}, wishes=wishes)
        try:
            await do(kernel, LEFT_OPEN)
        finally:
            await kernel.shutdown(grace_s=20)
        assert await kernel.exit_code() == 0
        return {
            path.name: path.stat().st_size
            for path in folder.iterdir()
            if path.name != "__pycache__"
        }

    forked = asyncio.run(scenario("forked", warm(pool)))
    assert forked == asyncio.run(scenario("spawned", Wishes()))
    assert forked["forgotten"] == forked["binary"] == forked["c"] == forked["local"] == 100
    assert {"destroyed", "hook", "thread"} <= forked.keys()


def test_a_forked_kernel_is_interrupted_and_runs_its_exit_hooks(pool, tmp_path, do, ask):
    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        try:
            await do(kernel, "import atexit, pathlib; atexit.register(pathlib.Path('bye').touch)")
            request = kernel.client.execute("open('busy', 'w').close()\nwhile True: pass")
            while not (tmp_path / "busy").exists():
                await asyncio.sleep(0.01)
            await kernel.interrupt()
            reply = await kernel.client.get_shell_msg(timeout=20)
            assert reply["parent_header"]["msg_id"] == request
            assert reply["content"]["ename"] == "KeyboardInterrupt"
        finally:
            await kernel.shutdown()
        assert await kernel.exit_code() == 0

    asyncio.run(scenario())
    assert (tmp_path / "bye").exists()


@pytest.mark.parametrize("number", [9, 11, 15])
def test_a_death_is_told_at_once_and_by_its_signal(pool, tmp_path, number):
    async def scenario():
        for wishes in (warm(pool), Wishes()):
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
            try:
                ended = asyncio.create_task(kernel.ended())
                await asyncio.sleep(0)
                began = asyncio.get_running_loop().time()
                os.kill(kernel.pid, number)
                await ended
                assert asyncio.get_running_loop().time() - began < 0.5
                assert await kernel.exit_code() == -number
                with pytest.raises(KernelDied, match=f"signal {number}"):
                    raise await kernel.death()
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())


def test_when_the_fork_server_is_killed_its_kernels_say_so_and_the_next_one_is_warm(pool, tmp_path):
    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        server = psutil.Process(kernel.pid).parent()
        assert "forkserver.py" in " ".join(server.cmdline())
        try:
            server.kill()
            await kernel.ended()
            with pytest.raises(KernelDied, match=r"fork server was killed by signal 9"):
                raise await kernel.death()
        finally:
            await kernel.shutdown()
        again = await start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool))
        try:
            assert again.manager.provisioner.warm
        finally:
            await again.shutdown()

    asyncio.run(scenario())
    assert pool.stats().servers_lost == 1
    assert pool.stats().servers_started == 2


def test_a_hundred_kernels_at_once(pool, tmp_path, ask):
    async def scenario():
        kernels = await asyncio.gather(
            *(start_kernel("python3", cwd=tmp_path, env={}, wishes=warm(pool)) for _ in range(100))
        )
        try:
            pids = await asyncio.gather(*(ask(k, "__import__('os').getpid()") for k in kernels))
            assert len(set(pids)) == 100
        finally:
            await asyncio.gather(*(kernel.shutdown() for kernel in kernels))

    asyncio.run(scenario())
    assert pool.stats().ordinary == 0
