"""What cells bring in a forked kernel is, message by message, what they bring in a spawned one."""

import asyncio
import re
from pathlib import Path

import pytest

from nbflow.kernels import WarmPool, Wishes, start_kernel

TIMEOUT_S = 60

#: One after the other, in one kernel: what IPython keeps, and what a user may ask it for.
CELLS = dict(
    cell.split("\n", 1)
    for cell in Path(__file__).with_name("fresh_cells.txt").read_text().split("=== ")[1:]
)
FAILING = {
    "an error",
    "a syntax error",
    "an error in a magic",
    "a question to nobody",
    "a password from nobody",
}
#: What no two processes have in common.
OWN = re.compile(
    r"0x[0-9a-f]+|ipykernel_\d+|nbflow-k-[\w-]+|\d\d:\d\d:\d\d|\d+(\.\d+)? [nµ\u03bcm]?s\b|"
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{4,}"
)
REPLIED = ("status", "execution_count", "payload", "ename", "traceback")


def common(content):
    return OWN.sub("~", content if isinstance(content, str) else repr(content))


async def execute(client, code):
    """Execute a cell, and return all that it brings, without what is a process's own."""
    request = client.execute(code, allow_stdin=False, stop_on_error=False)
    brought = []
    async with asyncio.timeout(TIMEOUT_S):
        while not brought:
            reply = await client.get_shell_msg()
            if reply["parent_header"].get("msg_id") == request:
                replied = {key: reply["content"].get(key) for key in REPLIED}
                brought.append(("reply", common(replied)))
        while True:
            message = await client.get_iopub_msg()
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if content == {"execution_state": "idle"}:
                return brought
            if kind == "stream":
                kind, content = content["name"], content["text"]
                if brought[-1][0] == kind:
                    content = brought.pop()[1] + content
            brought.append((kind, common(content)))


async def transcript(wishes, folder, cells, **more):
    """Return what each of `cells` brings in a kernel of its own, and whether that was forked."""
    env = {"OWN": "1", "JPY_SESSION_NAME": "own.ipynb"}
    kernel = await start_kernel("python3", cwd=folder, env=env, wishes=wishes, **more)
    try:
        brought = {name: await execute(kernel.client, code) for name, code in cells.items()}
        async with asyncio.timeout(TIMEOUT_S):
            await kernel.ended()
        assert await kernel.exit_code() == 0
        return brought, kernel.manager.provisioner.warm
    finally:
        await kernel.shutdown()


def compare(forked, spawned):
    (in_forked, warm), (in_spawned, cold) = forked, spawned
    assert (warm, cold) == (True, False)
    for name, brought in in_spawned.items():
        assert in_forked[name] == brought, name
    return in_forked


def test_cells_bring_the_same_in_a_forked_kernel_as_in_a_spawned_one(pool, tmp_path):
    async def scenario():
        forked = await transcript(Wishes(pool=pool), tmp_path, CELLS)
        (tmp_path / "script.py").unlink()
        return forked, await transcript(Wishes(), tmp_path, CELLS)

    brought = compare(*asyncio.run(scenario()))
    # Other versions of IPython lack some of what is asked for.
    assert {name for name, of_it in brought.items() if "'error'" in of_it[0][1]} >= FAILING


#: A user who has configured what can be.
CONFIGURED = """
c.InteractiveShellApp.extensions = ["own_extension"]
c.InteractiveShellApp.exec_lines = ["configured = get_ipython().kernel.session.pid"]
c.InteractiveShell.ast_node_interactivity = "all"
c.InteractiveShell.logappend = "log-of-cells.py"
c.StoreMagics.autorestore = True
c.Session.username = "somebody"
c.IPKernelApp.quiet = False
"""
OF_THE_CONFIGURED = {
    "what has run": "[configured == __import__('os').getpid(), loaded, started]",
    "the names": "[name for name in globals() if not name.startswith('_')]",
    "all values": "1\n2",
    "extensions": "get_ipython().extension_manager.loaded",
    "an extension's magic": "%own",
    "history": "%history",
    "the log": "%logstate",
    "configurables, sorted": "sorted(type(it).__name__ for it in get_ipython().configurables)",
}
#: In the history, they are the first session and the second; a log is begun a little later.
DIFFERENT = {"history of sessions", "configurables", "parents"}


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Configure IPython as a user might, and return the folder for kernels."""
    folder = tmp_path / "work"
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    folder.mkdir()
    (folder / "own_extension.py").write_text(
        "def load_ipython_extension(shell):\n"
        "    shell.user_ns['loaded'] = shell.starting_dir\n"
        "    shell.register_magic_function(lambda line: 'own', magic_name='own')\n"
    )
    (startup / "first.py").write_text("started = __import__('os').getcwd()\n")
    (startup.parent / "ipython_config.py").write_text(CONFIGURED)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return folder


def test_what_a_user_has_configured_holds_in_both(pool, tmp_path, configured):
    async def scenario(wishes):
        history = f"--HistoryManager.hist_file={tmp_path / 'history'}"
        of_all = {name: cell for name, cell in CELLS.items() if name not in DIFFERENT}
        cells = {**of_all, "the end": "None", **OF_THE_CONFIGURED, "the very end": "exit"}
        seen = await transcript(wishes, configured, cells, arguments=(history,))
        log = (configured / "log-of-cells.py").read_text()
        for made in ("script.py", "log-of-cells.py"):
            (configured / made).unlink()
        return seen, common(log)

    async def one_after_the_other():
        return await scenario(Wishes(pool=pool)), await scenario(Wishes())

    (forked, log), (spawned, spawned_log) = asyncio.run(one_after_the_other())
    compare(forked, spawned)
    assert log == spawned_log


def test_kernels_that_share_a_history_are_sessions_of_their_own_in_it(pool, tmp_path, ask):
    facts = (
        "(lambda s: [s.history_manager.session_number, s.kernel.ident, s.kernel.session.session,"
        " s.kernel.session.key.hex(), s.displayhook.topic.decode()])(get_ipython())"
    )

    async def scenario():
        history = f"--HistoryManager.hist_file={tmp_path / 'history'}"
        kernels = [
            await start_kernel(
                "python3", cwd=tmp_path, env={}, wishes=Wishes(pool), arguments=(history,)
            )
            for _ in range(3)
        ]
        try:
            return [await ask(kernel, facts) for kernel in kernels]
        finally:
            await asyncio.gather(*(kernel.shutdown() for kernel in kernels))

    seen = asyncio.run(scenario())
    assert [facts[0] for facts in seen] == [1, 2, 3]
    assert all(len(set(values)) == 3 for values in zip(*seen, strict=True))
    assert pool.stats().servers_started == 1


def test_a_startup_file_that_is_written_later_is_run_by_the_next_kernel(
    pool, tmp_path, ask, monkeypatch
):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    startup = tmp_path / "ipython" / "profile_default" / "startup"

    async def scenario():
        for number in range(3):
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=Wishes(pool))
            try:
                started = "sorted(name for name in globals() if name.startswith('started'))"
                assert await ask(kernel, started) == [f"started{n}" for n in range(number)]
                assert kernel.manager.provisioner.warm
            finally:
                await kernel.shutdown()
            (startup / f"{number}.py").write_text(f"started{number} = 1\n")

    asyncio.run(scenario())


def test_modules_that_are_loaded_ahead_find_no_shell_to_change(tmp_path, ask, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    for name in ("early", "late"):
        (library / f"{name}.py").write_text(
            "import builtins, sys\nfrom IPython import get_ipython\n"
            "found = [get_ipython(), hasattr(builtins, '__IPYTHON__'),"
            " hasattr(sys.modules['__main__'], 'get_ipython')]\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(library))
    # None waits: the server has no kernel when it is asked for more.
    pool = WarmPool(idle_limit=0)

    async def scenario():
        for modules in (["early"], ["early", "late"]):
            wishes = Wishes(pool, preload=tuple(modules))
            kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
            try:
                for name in modules:
                    found = f"__import__('sys').modules[{name!r}].found"
                    assert await ask(kernel, found) == [None, False, False]
                assert await ask(kernel, "get_ipython().kernel.shell is get_ipython()")
                await execute(kernel.client, "1 + 1")
            finally:
                await kernel.shutdown()

    try:
        asyncio.run(scenario())
        assert pool.stats().servers_started == 1
    finally:
        pool.close()


def test_another_class_of_kernels_is_made_in_each_kernel(pool, tmp_path, ask, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "own_kernels.py").write_text(
        "import os\nfrom ipykernel.ipkernel import IPythonKernel\n"
        "class OwnKernel(IPythonKernel):\n"
        "    def __init__(self, **given):\n"
        "        super().__init__(**given)\n"
        "        self.made_in = os.getpid()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(library))
    arguments = ("--IPKernelApp.kernel_class=own_kernels.OwnKernel",)

    async def scenario():
        kernel = await start_kernel(
            "python3", cwd=tmp_path, env={}, wishes=Wishes(pool), arguments=arguments
        )
        try:
            assert kernel.manager.provisioner.warm
            assert await ask(kernel, "get_ipython().kernel.made_in") == kernel.pid
        finally:
            await kernel.shutdown()

    asyncio.run(scenario())
