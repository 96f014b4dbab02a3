"""System calls that a thread may wait in: their numbers, and what their arguments say.

Only calls that can take long are here; a thread that is found in another one is not waiting for
anything. Numbers are those of Linux's own headers, which never change for an architecture.
"""

import platform
from enum import Enum
from typing import NamedTuple


class Subject(Enum):
    """Where a call says what it concerns."""

    NOTHING = 0
    #: The first argument is a file descriptor.
    DESCRIPTOR = 1
    #: The first argument points to descriptors with what is awaited of them, the second counts.
    POLLED = 2
    #: The first argument counts descriptors, the second and third point to sets of them.
    SELECTED = 3
    #: The first argument is a descriptor that stands for others.
    EPOLL = 4
    #: The first argument points to a path.
    PATH = 5
    #: The second argument points to a path, the first is its folder.
    PATH_AT = 6
    #: The first argument is a child's process id; -1 stands for any child.
    CHILD = 7
    #: The second argument is the child's, if the first says so.
    CHILD_BY_KIND = 8


class Limit(Enum):
    """How a call says that it ends by itself."""

    NEVER = 0
    ALWAYS = 1
    #: An argument is a number of milliseconds, negative for no end.
    MILLISECONDS = 2
    #: An argument points to a time, or nowhere.
    POINTER = 3


class Call(NamedTuple):
    """One system call."""

    name: str
    numbers: tuple[int | None, int | None]
    subject: Subject = Subject.NOTHING
    limit: Limit = Limit.NEVER
    #: Which argument the limit is.
    limit_at: int = 0
    #: Whether a signal breaks it off although its handler asks for it to be begun again; only if
    #: it is timed where that is None. See `nbflow.worker.probing.stacks.callers`.
    breaks: bool | None = False

    def is_timed(self, arguments: tuple[int, ...]) -> bool:
        """Whether a call with these arguments ends by itself."""
        match self.limit:
            case Limit.NEVER | Limit.ALWAYS:
                return self.limit is Limit.ALWAYS
            case Limit.MILLISECONDS:
                return arguments[self.limit_at] & 0x80000000 == 0
            case Limit.POINTER:
                return arguments[self.limit_at] != 0

    def is_broken_off(self, arguments: tuple[int, ...]) -> bool:
        """Whether a signal breaks off a call with these arguments."""
        return self.is_timed(arguments) if self.breaks is None else self.breaks


_FD, _POLL, _SELECT, _EPOLL = (
    Subject.DESCRIPTOR,
    Subject.POLLED,
    Subject.SELECTED,
    Subject.EPOLL,
)
_MS, _AT, _ALWAYS = Limit.MILLISECONDS, Limit.POINTER, Limit.ALWAYS

#: Numbers are those of x86-64 and of the architectures with common numbers, aarch64 among them.
_CALLS = (
    Call("read", (0, 63), _FD),
    Call("write", (1, 64), _FD),
    Call("readv", (19, 65), _FD),
    Call("writev", (20, 66), _FD),
    Call("pread64", (17, 67), _FD),
    Call("pwrite64", (18, 68), _FD),
    Call("close", (3, 57), _FD),
    Call("ioctl", (16, 29), _FD),
    Call("fsync", (74, 82), _FD),
    Call("fdatasync", (75, 83), _FD),
    Call("syncfs", (306, 267), _FD),
    Call("ftruncate", (77, 46), _FD),
    Call("fallocate", (285, 47), _FD),
    Call("flock", (73, 32), _FD),
    Call("fcntl", (72, 25), _FD),
    Call("getdents64", (217, 61), _FD),
    Call("sendfile", (40, 71), _FD),
    Call("splice", (275, 76), _FD),
    Call("copy_file_range", (326, 285), _FD),
    Call("sync", (162, 81)),
    Call("msync", (26, 227)),
    Call("open", (2, None), Subject.PATH),
    Call("openat", (257, 56), Subject.PATH_AT),
    Call("openat2", (437, 437), Subject.PATH_AT),
    Call("stat", (4, None), Subject.PATH),
    Call("newfstatat", (262, 79), Subject.PATH_AT),
    Call("statx", (332, 291), Subject.PATH_AT),
    Call("rename", (82, None), Subject.PATH),
    Call("unlink", (87, None), Subject.PATH),
    Call("renameat2", (316, 276), Subject.PATH_AT),
    Call("unlinkat", (263, 35), Subject.PATH_AT),
    Call("mkdirat", (258, 34), Subject.PATH_AT),
    # A socket may have a time limit of its own, with which a signal breaks off its calls.
    Call("connect", (42, 203), _FD, breaks=True),
    Call("accept", (43, 202), _FD, breaks=True),
    Call("accept4", (288, 242), _FD, breaks=True),
    Call("recvfrom", (45, 207), _FD, breaks=True),
    Call("recvmsg", (47, 212), _FD, breaks=True),
    Call("recvmmsg", (299, 243), _FD, _AT, 4, breaks=True),
    Call("sendto", (44, 206), _FD, breaks=True),
    Call("sendmsg", (46, 211), _FD, breaks=True),
    Call("sendmmsg", (307, 269), _FD, breaks=True),
    Call("poll", (7, None), _POLL, _MS, 2, breaks=True),
    Call("ppoll", (271, 73), _POLL, _AT, 2, breaks=True),
    Call("select", (23, None), _SELECT, _AT, 4, breaks=True),
    Call("pselect6", (270, 72), _SELECT, _AT, 4, breaks=True),
    Call("epoll_wait", (232, None), _EPOLL, _MS, 3, breaks=True),
    Call("epoll_pwait", (281, 22), _EPOLL, _MS, 3, breaks=True),
    Call("epoll_pwait2", (441, 441), _EPOLL, _AT, 3, breaks=True),
    Call("futex", (202, 98), limit=_AT, limit_at=3, breaks=None),
    Call("futex_waitv", (449, 449), limit=_AT, limit_at=3, breaks=True),
    Call("nanosleep", (35, 101), limit=_ALWAYS, breaks=True),
    Call("clock_nanosleep", (230, 115), limit=_ALWAYS, breaks=True),
    Call("pause", (34, None), breaks=True),
    Call("rt_sigsuspend", (130, 133), breaks=True),
    Call("rt_sigtimedwait", (128, 137), limit=_AT, limit_at=2, breaks=True),
    Call("wait4", (61, 260), Subject.CHILD),
    Call("waitid", (247, 95), Subject.CHILD_BY_KIND),
    Call("semop", (65, 193), breaks=True),
    Call("semtimedop", (220, 192), limit=_AT, limit_at=3, breaks=True),
    Call("msgrcv", (70, 188), breaks=True),
    Call("msgsnd", (69, 189), breaks=True),
    Call("mq_timedreceive", (243, 183), limit=_AT, limit_at=4, breaks=True),
    Call("mq_timedsend", (242, 182), limit=_AT, limit_at=4, breaks=True),
    Call("io_getevents", (208, 4), limit=_AT, limit_at=4, breaks=True),
    Call("io_pgetevents", (333, 292), limit=_AT, limit_at=4, breaks=True),
    Call("io_uring_enter", (426, 426), _FD, breaks=True),
)
_COLUMNS = {"x86_64": 0, "aarch64": 1, "riscv64": 1}


def calls_by_number(machine: str | None = None) -> dict[int, Call]:
    """Return the calls of an architecture (None: this machine's), none for one not known."""
    column = _COLUMNS.get(machine or platform.machine())
    if column is None:
        return {}
    numbered = ((call.numbers[column], call) for call in _CALLS)
    return {number: call for number, call in numbered if number is not None}


class Waiting(NamedTuple):
    """Where a thread has entered the system, as ``/proc/PID/task/TID/syscall`` has it."""

    #: None for a call that is not known, or none at all (a page is being read, say).
    call: Call | None
    arguments: tuple[int, ...]
    #: Where its stack is, and the instruction to which it returns.
    stack_pointer: int
    program_counter: int

    @classmethod
    def parse(cls, text: bytes, calls: dict[int, Call]) -> "Waiting | None":
        """Return what the file says; None for a thread that runs."""
        words = text.split()
        if len(words) < 3:  # noqa: PLR2004 - "running"
            return None
        *arguments, stack, counter = (int(word, 16) for word in words[1:])
        return cls(calls.get(int(words[0])), tuple(arguments), stack, counter)

    @property
    def name(self) -> str:
        """The call's name; empty if there is none."""
        return self.call.name if self.call else ""

    @property
    def is_timed(self) -> bool:
        """Whether it ends by itself."""
        return self.call is not None and self.call.is_timed(self.arguments)
