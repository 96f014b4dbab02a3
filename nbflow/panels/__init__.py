"""Panels: what a notebook shows of a run, live and as a snapshot; and progress in a terminal.

Its names are loaded when they are first used: a terminal needs no ipywidgets.
"""

from typing import TYPE_CHECKING

from nbflow._lazy import lazily

if TYPE_CHECKING:
    from nbflow.panels.html import panel_html
    from nbflow.panels.panel import RunPanel

__all__ = ["RunPanel", "panel_html"]

__getattr__ = lazily(__name__, {"RunPanel": ".panel", "panel_html": ".html"})
