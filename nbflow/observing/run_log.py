"""The log of what happens in runs: a record for each event, by the logger ``nbflow.run``.

Each has the attributes ``run``, ``node``, ``attempt``, ``worker`` and ``event``, the event's name,
so that collected logs can be searched for them. What has gone wrong is a warning; the rest is INFO.
"""

import logging

from nbflow.core import events as ev
from nbflow.core.run import Run
from nbflow.core.states import RunStatus
from nbflow.core.view import RunView
from nbflow.drawing.happenings import event_words

_log = logging.getLogger("nbflow.run")

#: Bookkeeping, which says nothing that the events around it do not.
_DETAILS = (ev.RetryDue, ev.CheckpointStored)
_TROUBLE = (ev.AttemptFailed, ev.AttemptLost, ev.AttemptInDoubt)


def is_heard() -> bool:
    """Whether anybody would see these records."""
    return _log.isEnabledFor(logging.INFO) and _log.hasHandlers()


class RunLog:
    """Logs what happens in a run. A `Sink`."""

    def happened(self, record: ev.Record, before: Run, after: Run) -> None:
        """Log one event."""
        event = record.event
        level = _level(event)
        if not _log.isEnabledFor(level):
            return
        node, attempt = record.node or "", record.attempt
        worker = ""
        if node and attempt and node in after.nodes:
            # A loss forgets where the attempt was.
            worker = after[node].worker or (before[node].worker if node in before.nodes else "")
        words = event_words(event)
        _log.log(
            level,
            "%s%s",
            record.type,
            f": {words}" if words else "",
            extra={
                "run": record.run,
                "node": node,
                "attempt": attempt,
                "worker": worker,
                "event": record.type,
            },
        )

    def look(self, view: RunView) -> None:
        """Do nothing: how a run stands is no event."""

    def close(self) -> None:
        """Do nothing."""


def _level(event: ev.Event) -> int:
    if isinstance(event, _DETAILS):
        return logging.DEBUG
    if isinstance(event, _TROUBLE):
        return logging.WARNING
    if isinstance(event, ev.RunEnded) and event.status is not RunStatus.SUCCEEDED:
        return logging.WARNING
    return logging.INFO
