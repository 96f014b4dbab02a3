"""IPython's kernel and shell, made once before the fork, and made each kernel's own after it.

To make them takes most of a kernel's start, and hardly any of it depends on what the kernel is for.
So a fork server makes both when its libraries are loaded, without sockets, streams or a history
(`Rehearsal`). A forked process then runs ipykernel's own start; where that would make them, it
finds them made, and hands them what it has (`Rehearsal.take_over`): sockets and streams, a
session and an identity, a history of its own, its environment and working directory.

Left to the forked process is all that opens something (sockets, threads, a log; the history's
database, once somebody asks for it), and all that runs a user's code (start-up files, extensions
that a user has named). That there is none is found out here; the server does not outlive a change
of that. A cell that does nothing is rehearsed as well: much is found out, and remembered, at the
first one.

A version of ipykernel or IPython may be made otherwise: then there is no rehearsal, and each kernel
makes its own. Used by `forkserver` in the kernel's environment: imports nothing of nbflow.
"""

import atexit
import builtins
import contextlib
import linecache
import os
import sys
import traceback
import uuid
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

#: What is made here without asking what it is.
_KNOWN_KERNEL = "ipykernel.ipkernel"
#: What IPython loads if nobody says anything.
_KNOWN_EXTENSIONS = ["storemagic"]
_IN_BUILTINS = ("__IPYTHON__", "display")
_IN_MEMORY = ":memory:"
#: What a kernel will use of the application's parts: that one is missing must be known before.
_USED = attrgetter(
    "ports",
    "session._session_default",
    "session._key_default",
    "kernel._topic",
    "shell._orig_sys_module_state",
    "shell.display_pub.pub_socket",
    "shell.displayhook.pub_socket",
)
_USED_TO_DEBUG = attrgetter("shell_socket", "debugpy_client.debugpy_stream")
_STARTUP_SUFFIXES = (".py", ".ipy")
#: What in the application's configuration can contradict a connection file.
_CONNECTION = frozenset(
    ("ip", "transport", "shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
)


def startup_folders(app: Any) -> list[Path]:
    """Return where IPython looks for files to run at the start of each kernel."""
    # Lazy: a server's owner, who loads this file as well, has no use for IPython.
    from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS

    others = [Path(folder, "startup") for folder in (*ENV_CONFIG_DIRS, *SYSTEM_CONFIG_DIRS)]
    return [Path(app.profile_dir.startup_dir), *others]


class Rehearsal:
    """The kernel and the shell of an application that has not come to making them yet."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._class = app.kernel_class
        #: Whether there is a history, which only has to be opened.
        self._has_history = app.config.get("HistoryManager", {}).get("hist_file") == _IN_MEMORY
        with self._without_steps():
            kernel = self._class.instance(
                parent=app,
                session=app.session,
                log=app.log,
                profile_dir=app.profile_dir,
                user_ns=app.user_ns,
            )
        self._kernel, self._shell = kernel, kernel.shell
        # In the kernel, it goes before the sockets are closed, and so comes after them.
        atexit.unregister(self._shell.atexit_operations)
        app.kernel = kernel
        app.init_shell()
        self._steps_done = ["init_shell"]
        if _only_known_extensions(app):
            app.init_extensions()
            self._steps_done.append("init_extensions")
            if _nothing_to_run(app):
                app.init_code()
                self._steps_done.append("init_code")
        self._run_a_cell()
        _USED(app)
        if hasattr(kernel, "debugger"):
            _USED_TO_DEBUG(kernel.debugger)
        if self._has_history:
            assert self._shell.history_manager._dir_hist_default  # noqa: SLF001 - see _USED
            _open_when_used(self._shell.history_manager)

    @classmethod
    def of(cls, app: Any) -> "Rehearsal | None":
        """Return the rehearsal of `app`'s start, or None if that is not known to be possible."""
        # Each kernel would find it out anew.
        assert app.connection_dir is not None
        if app.kernel_class.__module__ != _KNOWN_KERNEL:
            return None
        main = sys.modules["__main__"]
        try:
            return cls(app)
        except Exception:  # noqa: BLE001 - whatever another version does
            # For the fork server's log. The kernels do without.
            traceback.print_exc()
            sys.modules["__main__"] = main
            _forget(app)
            return None

    def undo(self) -> None:
        """Leave no trace of it, so that modules can be imported as if there were no shell."""
        self._shell.restore_sys_module_state()
        _forget(self._app)

    def take_over(self) -> None:
        """Let the application, which begins to be a kernel, find what is made already."""
        app, session = self._app, self._app.session
        session.pid = os.getpid()
        configured = app.config.get("Session", {})
        if "session" not in configured:
            session.session = session._session_default()  # noqa: SLF001 - a new one
        if "key" not in configured:
            # In case that the connection file has none.
            session.key = session._key_default()  # noqa: SLF001 - a new one
        app.init_connection_file()
        if all(app.ports) and not _CONNECTION & app.config.get("IPKernelApp", {}).keys():
            # The file says it already.
            _skip_once(app, "write_connection_file")
        for step in self._steps_done:
            _skip_once(app, step)
        # The application asks for its kernel class's one instance.
        self._class.instance = self._instance

    @contextlib.contextmanager
    def _without_steps(self) -> Iterator[None]:
        """Let a shell be made without what is each kernel's own."""
        # Lazy: a server's owner, who loads this file as well, has no use for IPython.
        from IPython.core.history import HistoryManager

        shell_class = _shell_class(self._app)
        with contextlib.ExitStack() as put_off:
            put_off.enter_context(_without(shell_class, "init_logstart"))
            if self._has_history:
                put_off.enter_context(_without(HistoryManager, "init_db", "new_session"))
            else:
                put_off.enter_context(_without(shell_class, "init_history", "init_user_ns"))
            yield

    def _run_a_cell(self) -> None:
        known = set(linecache.cache)
        self._shell.run_cell("None", silent=True, store_history=False, shell_futures=False)
        self._shell.user_expressions({"": "None"})
        # Values are shown by many parts.
        self._shell.display_formatter.format(0)
        for name in linecache.cache.keys() - known:
            del linecache.cache[name]
        self._shell.last_execution_result = None

    def _instance(self, **given: Any) -> Any:
        del self._class.instance
        kernel = self._kernel
        for name, value in given.items():
            if getattr(kernel, name, None) is not value:
                setattr(kernel, name, value)
        kernel.ident = str(uuid.uuid4())
        kernel._stdout, kernel._stderr = sys.stdout, sys.stderr  # noqa: SLF001 - as it does itself
        debugger = getattr(kernel, "debugger", None)
        if debugger is not None:
            debugger.shell_socket = kernel.debug_shell_socket
            debugger.debugpy_client.debugpy_stream = kernel.debugpy_stream
        self._settle_shell()
        return kernel

    def _settle_shell(self) -> None:
        """Do what was put off, and what has been done for the server, in the order of the shell."""
        kernel, shell = self._kernel, self._shell
        shell.starting_dir = os.getcwd()  # noqa: PTH109 - a string, as it is there
        shell.init_environment()
        streams = shell._orig_sys_module_state  # noqa: SLF001 - IPython's own
        streams.update({name: getattr(sys, name) for name in streams})
        if self._has_history:
            history = shell.history_manager
            history.dir_hist[:] = history._dir_hist_default()  # noqa: SLF001 - where it is now
        else:
            shell.init_history()
            # Where it is when it is made at the beginning.
            shell.configurables.insert(1, shell.configurables.pop())
            shell.init_user_ns()
        shell.init_logstart()
        atexit.register(self._leave_shell)
        shell.displayhook.pub_socket = shell.display_pub.pub_socket = kernel.iopub_socket
        shell.displayhook.topic = kernel._topic("execute_result")  # noqa: SLF001 - as it does itself
        # The server may have been born with another kernel's.
        shell.user_ns.pop("__session__", None)
        name = os.environ.get("JPY_SESSION_NAME")
        if name:
            shell.user_ns["__session__"] = name

    def _leave_shell(self) -> None:
        history = self._shell.history_manager
        if self._has_history and "db" not in history._trait_values:  # noqa: SLF001 - unopened
            # There is nothing to write an end into.
            history.enabled = False
        self._shell.atexit_operations()


def _open_when_used(history: Any) -> None:
    """Let the history's database, which is in memory, be opened by who asks for it first."""

    def opened(history: Any) -> Any:
        history.init_db()
        history.new_session()
        return history._trait_values["db"]  # noqa: SLF001 - just set

    # As traitlets look for the value of a trait that has none.
    history._db_default = opened  # noqa: SLF001
    history._trait_values.pop("db", None)  # noqa: SLF001
    history.session_number = 1
    assert history._get_trait_default_generator("db") is opened  # noqa: SLF001 - see _USED


def _only_known_extensions(app: Any) -> bool:
    named = [*app.default_extensions, *app.extensions, *app.extra_extensions]
    # It can be told to restore what a user has stored, which is each kernel's own.
    return named == _KNOWN_EXTENSIONS and "StoreMagics" not in app.config


def _nothing_to_run(app: Any) -> bool:
    """Whether IPython runs no code of a user's at the start of a kernel."""
    named = (app.exec_lines, app.exec_files, app.code_to_run, app.file_to_run, app.module_to_run)
    startup = app.exec_PYTHONSTARTUP and os.environ.get("PYTHONSTARTUP")
    found = (
        file.suffix in _STARTUP_SUFFIXES
        for folder in startup_folders(app)
        if folder.is_dir()
        for file in folder.iterdir()
    )
    return not any(named) and not startup and not any(found)


def _shell_class(app: Any) -> Any:
    return app.kernel_class.shell_class.default_value


def _nothing(_: object) -> None:
    pass


@contextlib.contextmanager
def _without(owner: type, *methods: str) -> Iterator[None]:
    """Let `methods` of `owner` do nothing for a while."""
    own = {name: vars(owner).get(name) for name in methods if getattr(owner, name)}
    for name in methods:
        setattr(owner, name, _nothing)
    try:
        yield
    finally:
        for name, method in own.items():
            if method is None:
                delattr(owner, name)
            else:
                setattr(owner, name, method)


def _skip_once(app: Any, step: str) -> None:
    setattr(app, step, lambda: delattr(app, step))


def _forget(app: Any) -> None:
    app.kernel = app.shell = None
    for made in (app.kernel_class, _shell_class(app)):
        made.clear_instance()
    for name in _IN_BUILTINS:
        vars(builtins).pop(name, None)
