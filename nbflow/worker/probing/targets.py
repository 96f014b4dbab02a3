"""What a system call concerns, in words for people: a socket's other end, a file, a child.

All of it is read from outside, from ``/proc``. What cannot be read stays empty: the process may
have ended, or belong to somebody else.
"""

import ipaddress
import os
import stat
import struct
from collections.abc import Iterable, Iterator

from nbflow.worker.probing.calls import Subject, Waiting

#: What a system says of a process that is gone, or none of our business.
UNREADABLE = (OSError, ValueError)

_POLLED_BYTES = 8
_MOST_DESCRIPTORS = 64
_PATH_BYTES = 512
#: For `waitid`: the second argument is a process id, or a descriptor of one.
_BY_PID, _BY_DESCRIPTOR = 1, 3
_ANY_CHILD = 0xFFFFFFFF
#: "The current folder", where a call wants a descriptor of one.
_CWD = 0xFFFFFF9C
#: What is no subject of a wait.
_EVENTS = ("eventfd",)
_SOCKETS = (("tcp", 4), ("tcp6", 16), ("udp", 4), ("udp6", 16))
_IPV4_FAMILY_BYTES = 4


def target_of(
    pid: int, waiting: Waiting, family: Iterable[int] = (), *, touching: bool = True
) -> str:
    """Return what a call of process `pid` concerns; empty if that is unknown.

    Parameters
    ----------
    pid
        The process.
    waiting
        Where one of its threads waits.
    family
        The process and its descendants, among which the other end of a pipe may be.
    touching
        Whether files may be looked at themselves: one on a server that does not answer would
        hold up whoever looks, too.
    """
    try:
        return _target(pid, waiting, tuple(family), touching)
    except UNREADABLE:
        return ""


def _target(pid: int, waiting: Waiting, family: tuple[int, ...], touching: bool) -> str:
    first, second = (*waiting.arguments, 0, 0)[:2]
    match waiting.call.subject if waiting.call else Subject.NOTHING:
        case Subject.DESCRIPTOR:
            return descriptor_target(pid, first & 0xFFFFFFFF, family, touching=touching)
        case Subject.POLLED:
            return _best(pid, _polled(pid, first, second), family, _EVENTS)
        case Subject.SELECTED:
            return _best(pid, _selected(pid, first, waiting.arguments[1:3]), family, _EVENTS)
        case Subject.EPOLL:
            return _connection(pid, _registered(pid, first))
        case Subject.PATH:
            return _path(pid, _CWD, first, touching)
        case Subject.PATH_AT:
            return _path(pid, first & 0xFFFFFFFF, second, touching)
        case Subject.CHILD:
            return _child(first, family)
        case Subject.CHILD_BY_KIND:
            if first == _BY_DESCRIPTOR:
                return _child(_pid_of_descriptor(pid, second), family)
            return _child(second if first == _BY_PID else _ANY_CHILD, family)
        case _:
            return ""


def descriptor_target(
    pid: int, descriptor: int, family: Iterable[int] = (), *, touching: bool = True
) -> str:
    """Return what a descriptor of process `pid` stands for.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    place = f"/proc/{pid}/fd/{descriptor}"
    link = os.readlink(place)  # noqa: PTH115 - pathlib is slower
    if link.startswith("socket:["):
        return _socket(pid, place, link[8:-1])
    if link.startswith("pipe:["):
        return _pipe(pid, link, family)
    if link.startswith(("/dev/pts/", "/dev/tty")):
        return f"terminal {link}"
    if link.startswith("anon_inode:"):
        return link.partition(":")[2].strip("[]")
    if touching and stat.S_ISFIFO(os.stat(place).st_mode):  # noqa: PTH116 - a link that is none
        return f"fifo {link}"
    return link


def read_memory(pid: int, address: int, size_bytes: int) -> bytes:
    """Return what is in a process's memory, less where it ends before.

    Raises
    ------
    OSError
        If it may not be read, or there is none.
    """
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size_bytes, address)
    finally:
        os.close(descriptor)


def process_name(pid: int) -> str:
    """Return the name of a process.

    Raises
    ------
    OSError
        If it is gone.
    """
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read().strip()


# Which descriptors a call waits for.


def _polled(pid: int, address: int, count: int) -> list[int]:
    data = read_memory(pid, address, min(count, _MOST_DESCRIPTORS) * _POLLED_BYTES)
    return [descriptor for descriptor, _, _ in struct.iter_unpack("=ihh", data) if descriptor >= 0]


def _selected(pid: int, count: int, addresses: Iterable[int]) -> list[int]:
    found: list[int] = []
    for address in addresses:
        if address:
            bits = int.from_bytes(read_memory(pid, address, (count + 7) // 8), "little")
            found += [number for number in range(count) if bits >> number & 1]
    return found


def _registered(pid: int, descriptor: int) -> list[int]:
    with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as file:  # noqa: PTH123
        lines = [line.split() for line in file if line.startswith("tfd:")]
    return [int(words[1]) for words in lines[:_MOST_DESCRIPTORS]]


def _best(
    pid: int, descriptors: Iterable[int], family: tuple[int, ...], unsaying: tuple[str, ...]
) -> str:
    """Return what says most of several: a connection, else the first that says anything."""
    targets: list[str] = []
    for descriptor in descriptors:
        try:
            targets.append(descriptor_target(pid, descriptor, family))
        except UNREADABLE:
            continue
    connections = [it for it in targets if it.startswith("socket ")]
    return next(iter([*connections, *(it for it in targets if it not in unsaying)]), "")


def _connection(pid: int, descriptors: Iterable[int]) -> str:
    """Return the first connection over a network: all else may be an event loop's own."""
    for descriptor in descriptors:
        try:
            place = f"/proc/{pid}/fd/{descriptor}"
            link = os.readlink(place)  # noqa: PTH115 - pathlib is slower
        except OSError:
            continue
        is_socket = link.startswith("socket:[")
        found = _network(pid, place, link[len("socket:[") : -1]) if is_socket else ""
        if found:
            return found
    return ""


# What they stand for.


def _socket(pid: int, place: str, inode: str) -> str:
    if found := _network(pid, place, inode):
        return found
    for words in _rows(f"/proc/{pid}/net/unix", inode):
        if len(words) > 7 and words[6] == inode:  # noqa: PLR2004 - the columns of these files
            return f"socket {words[7]}"
    return "socket"


def _network(pid: int, place: str, inode: str) -> str:
    protocol = _protocol(place)
    for kind, size_bytes in _SOCKETS:
        if protocol not in ("", kind):
            # The system takes milliseconds to list all that there are of a kind.
            continue
        for words in _rows(f"/proc/{pid}/net/{kind}", inode):
            if len(words) > 9 and words[9] == inode:  # noqa: PLR2004 - the columns of these files
                local, remote = (_address(word, size_bytes) for word in words[1:3])
                return f"socket {local if remote.endswith(':0') else remote}"
    return ""


def _protocol(place: str) -> str:
    """Return which table has a socket; empty if the system does not say."""
    try:
        name = os.getxattr(place, "system.sockprotoname").rstrip(b"\0").decode()
    except (OSError, AttributeError):
        return ""
    return name.lower().replace("v6", "6")


def _rows(path: str, word: str) -> Iterator[list[str]]:
    """Yield the lines that have a word in them, out of a file that may have thousands."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            lines = file.read().splitlines()
    except OSError:
        return
    sought = word.encode()
    yield from (line.decode(errors="replace").split() for line in lines if sought in line)


def _address(text: str, size_bytes: int) -> str:
    host, _, port = text.partition(":")
    # Words of four bytes, each in the machine's own order.
    words = struct.unpack(f">{size_bytes // 4}I", bytes.fromhex(host))
    packed = struct.pack(f"={size_bytes // 4}I", *words)
    if size_bytes == _IPV4_FAMILY_BYTES:
        return f"{ipaddress.IPv4Address(packed)}:{int(port, 16)}"
    address = ipaddress.IPv6Address(packed)
    shown = str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
    return f"{shown}:{int(port, 16)}"


def _pipe(pid: int, link: str, family: Iterable[int]) -> str:
    """Name the process at the other end, if it is of the family: a child's standard streams."""
    for member in family:
        if member == pid:
            continue
        for stream in (0, 1, 2):
            try:
                if os.readlink(f"/proc/{member}/fd/{stream}") == link:  # noqa: PTH115 - pathlib is slower
                    return f"pipe, process {member} ({process_name(member)})"
            except OSError:
                break
    return "pipe"


def _path(pid: int, folder: int, address: int, touching: bool) -> str:
    path = os.fsdecode(read_memory(pid, address, _PATH_BYTES).partition(b"\0")[0])
    if not path.startswith("/"):
        base = f"/proc/{pid}/cwd" if folder == _CWD else f"/proc/{pid}/fd/{folder}"
        path = os.path.join(os.readlink(base), path)  # noqa: PTH115, PTH118 - as given
    try:
        # As the process sees it, which may have another root.
        is_fifo = touching and stat.S_ISFIFO(os.stat(f"/proc/{pid}/root{path}").st_mode)  # noqa: PTH116
    except OSError:
        is_fifo = False
    return f"fifo {path}" if is_fifo else path


def _child(number: int, family: tuple[int, ...]) -> str:
    child = number & 0xFFFFFFFF
    if 0 < child < _ANY_CHILD >> 1:
        return f"process {child} ({process_name(child)})"
    others = family[1:]
    return f"process {others[0]} ({process_name(others[0])})" if len(others) == 1 else "any child"


def _pid_of_descriptor(pid: int, descriptor: int) -> int:
    for words in _rows(f"/proc/{pid}/fdinfo/{descriptor}", "Pid:"):
        return int(words[1])
    return _ANY_CHILD
