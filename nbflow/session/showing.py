"""A run in front of a person: its panel, and the parts of it that fit into other layouts."""

from nbflow.panels import RunPanel, RunWidget
from nbflow.panels.followed import Followed


def panel(run: Followed) -> RunPanel:
    """Return a new live panel of `run`."""
    return RunPanel(run)


def progress(run: Followed) -> RunWidget:
    """Return a new widget with state, progress, times and costs of `run`."""
    return RunWidget(run, "progress")
