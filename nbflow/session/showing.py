"""A run's panels."""

from typing import Any

from nbflow.panels import RunPanel


def panel(run: Any) -> Any:
    """Return the live panel of `run`."""
    return RunPanel(run.view, run.wait_changed, run.cancel)
