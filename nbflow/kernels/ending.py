"""Wait for the end of any process of this machine, without asking again and again.

On Linux a process can be held as a file descriptor that becomes readable when it ends
(``pidfd_open(2)``), whoever its parent is. Elsewhere it is looked at now and then.
"""

import asyncio
import os
import sys

import psutil

#: How often a process is looked at where it cannot be waited for.
_POLL_S = 0.2


async def process_ended(pid: int) -> None:
    """Wait until the process `pid` has ended; a zombie has."""
    if sys.platform != "linux":
        await _polled(pid)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        # No more descriptors, or a kernel older than 5.3.
        await _polled(pid)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _polled(pid: int) -> None:
    while psutil.pid_exists(pid):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        await asyncio.sleep(_POLL_S)
