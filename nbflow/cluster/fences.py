"""Fences: a task of Dask begins once, however often Dask runs it.

Dask runs a task again when the worker that had it is gone: killed, cut off, retired by an adaptive
cluster, or only the keeper of its result. The new worker cannot know whether the old one had
begun. So before the first line of a node's code, a worker claims the task's fence at the
scheduler, and does nothing unless it is the first to do so. A driver that wants to hand over an
attempt anew claims the old fence itself: if it is first, the attempt has not begun and never will.

A fence is an entry of the scheduler's metadata, which is the one thing that any scheduler keeps
for others without having nbflow itself. Every claimant leaves a token of its own there, then
reads them all; dictionaries keep their order, so that all agree on who was first. It costs two
messages there and back, and a scheduler that is started anew has forgotten its tasks together
with their fences.
"""

import uuid
from typing import Any


async def claim(scheduler: Any, topic: str, fence: str, claimant: str) -> str | None:
    """Claim a fence.

    Parameters
    ----------
    scheduler
        The RPC of a worker, or of a client, to its scheduler.
    topic
        The driver's topic; its fences are together under it.
    fence
        Which of them.
    claimant
        Who claims, without blanks; for those that come later.

    Returns
    -------
    str or None
        Who was there first; None if nobody was.

    Raises
    ------
    OSError
        If the connection is lost. Then the fence may or may not have been claimed.
    """
    token = f"{claimant} {uuid.uuid4().hex}"
    await scheduler.set_metadata(keys=[topic, fence, token], value=True)
    first: str = next(iter(await scheduler.get_metadata(keys=[topic, fence])))
    return None if first == token else first.partition(" ")[0]


async def forget(scheduler: Any, topic: str) -> None:
    """Remove all fences of a driver that has none of its attempts with the cluster any more."""
    await scheduler.set_metadata(keys=[topic], value={})
