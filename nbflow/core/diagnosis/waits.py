"""What a thread does: from its system call, and from where it stands in Python.

The system call says most. Where it does not (a wait on many things at once, a target that nobody
may read), the lines of the stack do: who calls `subprocess` waits for a process, whatever the call.
"""

import re
from collections.abc import Iterable

import msgspec

from nbflow.core.diagnosis.facts import NodeFacts
from nbflow.core.findings import FindingKind
from nbflow.core.stacks import StackFrame, ThreadStack

#: Below this, in percent of a core, a process tree that waits does nothing else.
IDLE_PERCENT = 2.0
#: From here on it computes; and from here on some thread of one does whose main thread waits.
BUSY_PERCENT, WORKS_PERCENT = 50.0, 20.0

#: Below both of these, nothing at all goes on in a process tree but its kernel's own heartbeat.
_REST_PERCENT, _REST_BYTES_PER_S = 1.0, 1000.0

#: How late a wait may be noticed: there is a sample each second, on a busy machine less often.
_NOTICED_S = 2.0

#: Innermost frames that are looked at to tell what a thread waits for.
_DEPTH = 8

_LOCKS = frozenset({"futex", "flock", "fcntl", "semop", "semtimedop"})
_SLEEPS = frozenset({"clock_nanosleep", "nanosleep", "pause"})
_PROCESSES = frozenset({"wait4", "waitid"})
_NETWORK = frozenset(
    {
        *("recvfrom", "recvmsg", "recvmmsg", "recv", "sendto", "sendmsg", "send"),
        *("connect", "accept", "accept4"),
    }
)
_POLLS = frozenset(
    {"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"}
)
_OPENS = frozenset({"open", "openat", "openat2"})
_FILES = frozenset(
    {
        *("read", "pread64", "readv", "preadv", "write", "pwrite64", "writev", "pwritev"),
        *("fsync", "fdatasync", "sendfile", "copy_file_range", "getdents64", "statx", "splice"),
        *_OPENS,
    }
)

_STDIN = re.compile(
    r"(?<![\w.])input\s*\(|\bsys\.stdin\b|\bgetpass\b|\bos\.read\(\s*0\s*,|\bbreakpoint\("
)
_STDIN_FUNCTIONS = frozenset({"raw_input", "_input_request", "getpass", "unix_getpass"})
_LOCK_FILES = re.compile(r"(threading|queue|_base|synchronize|locks)\.py$")
#: Locks themselves are no Python code; whatever else waits for one is, in one of these files.
_LOCK_TEXT = re.compile(r"\.acquire\(|^with [\w.]+:")
_PROCESS_FILES = re.compile(r"(subprocess|popen_fork|popen_spawn_posix|pexpect.*)\.py$")
_PROCESS_TEXT = re.compile(
    r"\bsubprocess\.|\bos\.(system|wait\w*|popen)\(|\.communicate\(|^!|\.system\("
)
_CHILDREN_FILES = re.compile(r"multiprocessing/|concurrent/futures/process|loky/")
_NETWORK_FILES = re.compile(
    r"(socket|ssl|client|connectionpool|http\w*|urllib\w*|requests|httpx|httpcore|aiohttp|psycopg\w*"
    r"|pymysql|redis|botocore|paramiko|sock|smtplib|ftplib)(/[\w/]+)?\.py$"
)
_NETWORK_TEXT = re.compile(r"\.(recv\w*|accept|connect|sendall|urlopen)\(|\brequests\.|\burlopen\(")
_SLEEP_TEXT = re.compile(r"\bsleep\(")


class Wait(msgspec.Struct, frozen=True):
    """What a thread does."""

    #: What it is called if it takes too long.
    kind: FindingKind
    #: In words that follow a place: ``"waits for socket 10.0.0.5:5432"``.
    text: str


_COMPUTES = Wait(FindingKind.CPU_BOUND_LOOP, "computes")
_UNKNOWN = Wait(FindingKind.SLOWER_THAN_EXPECTED, "runs")


def waits_for_input(node: NodeFacts) -> bool:
    """Whether the cell asks a person for something that nobody can type."""
    doing = node.doing
    if doing.call not in {"read", *_POLLS}:
        return False
    if doing.target.startswith(("terminal", "stdin", "/dev/tty", "/dev/pts")):
        return True
    main = None if node.stack is None else node.stack.main
    if main is None or not main.frames:
        return False
    innermost = main.frames[:_DEPTH]
    return any(frame.function in _STDIN_FUNCTIONS for frame in innermost) or any(
        _STDIN.search(frame.text) for frame in innermost[:2]
    )


def wait_of(node: NodeFacts) -> Wait:
    """Return what the node does: what its main thread waits for, or the one that that waits for."""
    doing, usage = node.doing, node.usage
    if usage is None:
        return _UNKNOWN
    if doing.state == "running" or (not doing.call and node.cpu_percent >= BUSY_PERCENT):
        return _COMPUTES
    if doing.state == "disk":
        on = f" ({doing.target})" if doing.target else ""
        return Wait(FindingKind.BLOCKED_ON_IO, f"waits for a disk or network file system{on}")
    main = None if node.stack is None else node.stack.main
    frames = () if main is None else main.frames[:_DEPTH]
    if doing.call == "futex" and (inner := _of_another_thread(node)) is not None:
        return inner
    return _classified(
        doing.call, doing.target, frames, timed=doing.timed, family=usage.processes > 1
    )


def every_thread_waits(node: NodeFacts) -> tuple[ThreadStack, ...]:
    """Return the notebook's threads if each waits for a lock without end; else nothing.

    A thread of a library's own may be about to wake them, which no Python stack shows. So the main
    thread must stand in a wait of Python's itself: at a lock, a queue, another thread; and the
    process must be at rest. And a child process may be about to; then nothing is said either.
    """
    stack, doing, usage = node.stack, node.doing, node.usage
    if stack is None or stack.problem or usage is None or usage.processes > 1:
        return ()
    main = stack.main
    if main is None or not _is_python_lock(main.frames[:2]):
        return ()
    # A wait may be noticed a little after its stack, which has the same wait in it then.
    was_before = stack.at < usage.at - doing.since_s - _NOTICED_S
    if was_before or not _is_endless_lock(doing.call, timed=doing.timed) or not _is_at_rest(node):
        return ()
    threads = tuple(thread for thread in stack.threads if not thread.service)
    if all(_is_endless_lock(thread.call, timed=thread.timed) for thread in threads):
        return threads
    return ()


def opens_without_partner(node: NodeFacts) -> bool:
    """Whether it opens a named pipe whose other end nobody has opened."""
    return node.doing.call in _OPENS and node.doing.target.startswith("fifo")


def _is_endless_lock(call: str, *, timed: bool) -> bool:
    return call == "futex" and not timed


def _is_at_rest(node: NodeFacts) -> bool:
    latest = node.samples[-2:]
    return all(
        usage.cpu_percent < _REST_PERCENT and (usage.network_bytes_per_s or 0.0) < _REST_BYTES_PER_S
        for usage in latest
    )


def _is_python_lock(frames: Iterable[StackFrame]) -> bool:
    return any(_LOCK_FILES.search(it.file) or _LOCK_TEXT.search(it.text) for it in frames)


def _of_another_thread(node: NodeFacts) -> Wait | None:
    """Return what the thread does that the main one waits for, as far as that can be told."""
    threads = () if node.stack is None else node.stack.threads
    beside = [thread for thread in threads if not thread.main and not thread.service]
    has_children = node.usage is not None and node.usage.processes > 1
    if has_children and any(_tends_children(thread) for thread in beside):
        return Wait(FindingKind.BLOCKED_ON_PROCESS, "waits for processes that it has started")
    if node.cpu_percent >= WORKS_PERCENT:
        return Wait(FindingKind.CPU_BOUND_LOOP, "waits for a thread of its own, which computes")
    other = next((it for it in beside if it.call not in ("", "futex")), None)
    if other is None:
        return None
    inner = _classified(other.call, "", other.frames[:_DEPTH], timed=other.timed, family=False)
    who = f"its thread {other.name}" if other.name else "another of its threads"
    return Wait(inner.kind, f"waits for {who}, which {inner.text}")


def _tends_children(thread: ThreadStack) -> bool:
    return any(_CHILDREN_FILES.search(frame.file) for frame in thread.frames[:_DEPTH])


def _classified(
    call: str, target: str, frames: tuple[StackFrame, ...], *, timed: bool, family: bool
) -> Wait:
    """Return what a thread in the system call `call` waits for."""
    if call in _PROCESSES or "process " in target or _waits_for_family(frames, family=family):
        _, named, whom = target.rpartition("process ")
        whom = f"process {whom}" if named else "a process that it has started"
        return Wait(FindingKind.BLOCKED_ON_PROCESS, f"waits for {whom}")
    if call in _SLEEPS or any(_SLEEP_TEXT.search(frame.text) for frame in frames[:1]):
        return Wait(FindingKind.SLEEPING, "sleeps")
    if call in _NETWORK or target.startswith("socket"):
        return Wait(FindingKind.BLOCKED_ON_NETWORK, f"waits for {target or 'the network'}")
    if call in _FILES:
        return Wait(FindingKind.BLOCKED_ON_IO, _of_file(call, target))
    if call in _LOCKS:
        return Wait(FindingKind.BLOCKED_ON_LOCK, f"waits for a lock{_named(target)}")
    if call in _POLLS:
        return _polled(target, frames, timed=timed)
    return (
        Wait(FindingKind.SLOWER_THAN_EXPECTED, f"waits in {call}{_named(target)}")
        if call
        else _UNKNOWN
    )


def _waits_for_family(frames: tuple[StackFrame, ...], *, family: bool) -> bool:
    """Whether it waits at a pipe of a child that it talks to."""
    return family and any(
        _PROCESS_FILES.search(it.file) or _PROCESS_TEXT.search(it.text) for it in frames
    )


def _polled(target: str, frames: tuple[StackFrame, ...], *, timed: bool) -> Wait:
    if any(_NETWORK_FILES.search(it.file) or _NETWORK_TEXT.search(it.text) for it in frames):
        return Wait(FindingKind.BLOCKED_ON_NETWORK, f"waits for {target or 'the network'}")
    if target.startswith(("pipe", "fifo")):
        return Wait(FindingKind.BLOCKED_ON_IO, _of_file("poll", target))
    if target.startswith("socket "):
        return Wait(FindingKind.BLOCKED_ON_NETWORK, f"waits for {target}")
    if any(it.function == "select" for it in frames[:1]) and not target:
        # An event loop: with a time, it sleeps until then; without one, its tasks wait for others.
        kind = FindingKind.SLEEPING if timed else FindingKind.SLOWER_THAN_EXPECTED
        return Wait(kind, "waits in its event loop")
    if timed and not target:
        return Wait(FindingKind.SLEEPING, "sleeps")
    text = "waits for one of several things" + _named(target)
    return Wait(FindingKind.SLOWER_THAN_EXPECTED, text)


def _of_file(call: str, target: str) -> str:
    if call in _OPENS:
        return f"opens {target or 'a file'}"
    verb = "writes to" if "write" in call else "syncs" if "sync" in call else "waits for"
    return f"{verb} {target or 'a file'}"


def _named(target: str) -> str:
    return f" ({target})" if target else ""
