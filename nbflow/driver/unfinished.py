"""Notebooks that their workers left unfinished: their files are told how it ended.

That is for people who open them. What the run does next does not depend on it, so a file that
cannot be written is only logged.
"""

import logging
from datetime import UTC, datetime

import msgspec

from nbflow.core import events as ev
from nbflow.core.attempts import Progress
from nbflow.core.run import Run
from nbflow.core.spec import NotebookCode
from nbflow.driver.tasks import notebook_path
from nbflow.notebooks.finishing import finish_file

_log = logging.getLogger(__name__)
_ERRORS = {
    "worker_lost": "WorkerLost",
    "scheduler_lost": "SchedulerLost",
    "driver_lost": "DriverLost",
}


class Unfinished(msgspec.Struct, frozen=True):
    """An attempt of which nobody will hear any more; `progress` is the last that was heard."""

    lost: ev.AttemptLost | ev.AttemptFailed | ev.AttemptInDoubt
    progress: Progress | None = None


def finish_notebook(run: Run, unfinished: Unfinished, now_s: float) -> None:
    """Finish the notebook of a lost attempt, before another one starts, which writes it anew.

    `now_s` is in seconds since the epoch.
    """
    lost, heard = unfinished.lost, unfinished.progress
    code = run.graph.nodes[lost.node].code
    if not isinstance(code, NotebookCode) or lost.reason.kind not in _ERRORS:
        return
    path = notebook_path(run.output_dir, lost.node, code)
    of_this_attempt = heard is not None and heard.id.number == lost.attempt
    try:
        finish_file(
            path,
            _ERRORS[lost.reason.kind],
            lost.reason.message,
            datetime.fromtimestamp(now_s, UTC),
            last_seen=heard.cell if heard is not None and of_this_attempt else None,
        )
    except OSError as error:
        _log.warning("cannot finish the notebook %s: %s", path, error)
