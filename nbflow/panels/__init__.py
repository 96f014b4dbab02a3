"""Panels: what a notebook shows of a run, live and as a snapshot."""

from nbflow.panels.html import panel_html
from nbflow.panels.panel import RunPanel

__all__ = ["RunPanel", "panel_html"]
