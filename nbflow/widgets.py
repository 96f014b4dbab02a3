"""Parts of a run's panel as ordinary ipywidgets, for dashboards of one's own.

>>> import ipywidgets
>>> from nbflow.widgets import ResourceView, StuckView
>>> ipywidgets.VBox([run.progress(), StuckView(run), ResourceView(run)])  # doctest: +SKIP

Each follows its run from a thread of its own until the run has ended; `close` ends that earlier,
and removes the widget wherever it is displayed.
"""

from nbflow.panels import RunPanel, RunWidget
from nbflow.panels.followed import Followed

__all__ = ["ProgressView", "ResourceView", "RunPanel", "StuckView"]


class ProgressView(RunWidget):
    """State, progress, times and costs of a run, in a line or two; what `run.progress()` returns.

    Parameters
    ----------
    run
        What is shown.
    """

    def __init__(self, run: Followed) -> None:
        super().__init__(run, "progress")


class ResourceView(RunWidget):
    """What a run uses at present, over time, and which of its nodes use most.

    Parameters
    ----------
    run
        What is shown.
    """

    def __init__(self, run: Followed) -> None:
        super().__init__(run, "resources")


class StuckView(RunWidget):
    """What is wrong with a run, with evidence, last lines and all that can be done about it.

    Parameters
    ----------
    run
        What is shown.
    """

    def __init__(self, run: Followed) -> None:
        super().__init__(run, "stuck")
