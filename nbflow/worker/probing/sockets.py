"""How much the TCP sockets of this machine have sent and received, and whose they are.

The system tells it of all sockets at once, by their inodes (``sock_diag(7)``); whose an inode is
can only be seen in ``/proc/PID/fd``, which costs a look for each open file. So that is looked
through only when there is a socket that was not there before, and only for sockets of this user.

A socket that lives for less than a round is missed, and so are the last bytes of each; UDP is not
counted. Where the system tells nothing (another system, a sandbox), nothing is known.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Collection, Iterable, Mapping

_SOCK_DIAG = 4
_DUMP_REQUEST = struct.Struct("=IHHII")
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
#: Family, protocol, which extensions (1 << 1: tcp_info), padding, states.
_QUERY = struct.Struct("=BBBxI48x")
_WANT_INFO = 1 << 1
#: All states but those of sockets that belong to no process, or have nothing to send: time-wait,
#: closed, listening.
_STATES = 0xFFF & ~(1 << 6 | 1 << 7 | 1 << 10)
#: Of ``struct inet_diag_msg``: where the user and the inode are, and how long it is.
_USER_AT, _MESSAGE_BYTES = 64, 72
#: Of ``struct tcp_info``: bytes acknowledged by the other end, and received.
_BYTES_AT, _INFO = 120, struct.Struct("=QQ")
_ATTRIBUTE = struct.Struct("=HH")
_INFO_ATTRIBUTE = 2
_BUFFER_BYTES = 1 << 18
_TIMEOUT_S = 0.5
#: A dump that takes longer than this many seconds is made so many rounds apart.
_DEAR_S, _SELDOM = 0.003, 5
#: Owners of new sockets are looked for every round, and one more apart for each so many trees.
_AT_ONCE = 16
_LINK = "socket:["


class Unknown(Exception):
    """The system does not tell."""


class Sockets:
    """Counts of all TCP sockets of this user, and to whom they belong."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._bytes: dict[int, int] = {}
        #: By inode, the first process of the tree that has it; 0: none of ours.
        self._owners: dict[int, int] = {}
        #: Sockets that were nobody's when they were first seen: perhaps a new process's.
        self._doubtful: set[int] = set()
        #: By first process, what its sockets have carried in all.
        self._totals: dict[int, int] = {}
        #: By first process, descriptors that were something else when it began, and stay so.
        self._others: dict[int, frozenset[str]] = {}
        self._waits = 0
        #: Rounds until owners are looked for again.
        self._rests = 0
        #: Whether anything is known.
        self.known = sys.platform == "linux"

    def look(self, trees: Mapping[int, Iterable[int]]) -> None:
        """Take in what has been sent and received by now.

        Parameters
        ----------
        trees
            By first process, all processes of its tree.
        """
        if not self.known or not trees:
            return
        if self._waits:
            self._waits -= 1
            return
        began_s = time.thread_time()
        try:
            now = self._dump()
        except (OSError, Unknown, struct.error):
            self.known = False
            self.close()
            return
        if time.thread_time() - began_s > _DEAR_S:
            self._waits = _SELDOM
        self._assign(now, trees)
        self._count(now)

    def total_bytes(self, pid: int) -> int | None:
        """Return what the tree of `pid` has sent and received; None if that is not known."""
        return self._totals.get(pid, 0) if self.known else None

    def forget(self, pid: int) -> None:
        """Drop what is known of a tree: it is over."""
        self._totals.pop(pid, None)
        self._others.pop(pid, None)

    def close(self) -> None:
        """Close the channel to the system."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _assign(self, now: Mapping[int, int], trees: Mapping[int, Iterable[int]]) -> None:
        """Find out whose the new sockets are, if it is time for that."""
        for first in trees:
            if first not in self._others:
                # A kernel has dozens for itself, which are not looked at again.
                self._others[first] = _others(first, now.keys())
        if self._rests:
            self._rests -= 1
        elif not now.keys() <= self._owners.keys():
            self._find_owners(now, trees)
            self._rests = len(trees) // _AT_ONCE
        self._owners = {inode: it for inode, it in self._owners.items() if inode in now}

    def _count(self, now: Mapping[int, int]) -> None:
        """Add what the trees' sockets have carried since the round before."""
        # A socket whose owner is found late brings all that it has carried until then.
        before, self._bytes = self._bytes, {}
        for inode, owner in self._owners.items():
            if owner:
                grown = max(0, now[inode] - before.get(inode, 0))
                self._totals[owner] = self._totals.get(owner, 0) + grown
                self._bytes[inode] = now[inode]

    def _find_owners(self, now: Mapping[int, int], trees: Mapping[int, Iterable[int]]) -> None:
        missing = now.keys() - self._owners.keys()
        for first, members in trees.items():
            for pid in members:
                for inode in _inodes(pid, self._others.get(pid, frozenset())) & missing:
                    self._owners[inode] = first
        # A second time they are somebody else's.
        still = missing - self._owners.keys()
        self._owners.update(dict.fromkeys(still & self._doubtful, 0))
        self._doubtful = still - self._doubtful

    def _dump(self) -> dict[int, int]:
        if self._channel is None:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            self._channel = socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG)
            self._channel.settimeout(_TIMEOUT_S)
        found: dict[int, int] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            self._dump_family(family, found)
        return found

    def _dump_family(self, family: int, found: dict[int, int]) -> None:
        assert self._channel is not None
        query = _QUERY.pack(family, socket.IPPROTO_TCP, _WANT_INFO, _STATES)
        size = _DUMP_REQUEST.size + len(query)
        header = _DUMP_REQUEST.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0)
        self._channel.send(header + query)
        user = os.getuid()
        while True:
            data = self._channel.recv(_BUFFER_BYTES)
            at = 0
            while at < len(data):
                length, kind, *_ = _DUMP_REQUEST.unpack_from(data, at)
                if kind == _DONE:
                    return
                if kind == _ERROR or length < _DUMP_REQUEST.size:
                    raise Unknown
                body = data[at + _DUMP_REQUEST.size : at + length]
                uid, inode = struct.unpack_from("=II", body, _USER_AT)
                if uid == user and inode:
                    found[inode] = _carried_bytes(body)
                at += (length + 3) & ~3


def _carried_bytes(message: bytes) -> int:
    at = _MESSAGE_BYTES
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        info = message[at + _ATTRIBUTE.size : at + length]
        if kind == _INFO_ATTRIBUTE and len(info) >= _BYTES_AT + _INFO.size:
            return sum(_INFO.unpack_from(info, _BYTES_AT))
        if length < _ATTRIBUTE.size:
            break
        at += (length + 3) & ~3
    raise Unknown


def _inodes(pid: int, skipped: frozenset[str]) -> set[int]:
    """Return the inodes of all sockets that a process has open, but for some descriptors."""
    found = (_inode(pid, name) for name in _descriptors(pid) if name not in skipped)
    return {inode for inode in found if inode is not None}


def _others(pid: int, sockets: Collection[int]) -> frozenset[str]:
    """Return the descriptors of a process that are none of these sockets."""
    return frozenset(name for name in _descriptors(pid) if _inode(pid, name) not in sockets)


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - pathlib is slower
    except OSError:
        return []


def _inode(pid: int, descriptor: str) -> int | None:
    """Return the inode of a socket; None for a descriptor of anything else."""
    try:
        link = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - pathlib is slower
    except OSError:
        return None
    return int(link[len(_LINK) : -1]) if link.startswith(_LINK) else None
