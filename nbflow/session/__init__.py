"""The session: flows that run, and the handles of their runs.

The one place that knows which adapters there are, and wires them together.
"""

from nbflow.session.flow import Flow
from nbflow.session.opening import attach, load, runs
from nbflow.session.run import Run

__all__ = ["Flow", "Run", "attach", "load", "runs"]
