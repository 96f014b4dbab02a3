"""Panels: what a notebook shows of a run, live and as a snapshot; and progress in a terminal.

The live part is one widget (`widget`) around one ESM file, which is made of the parts in
``static/panel``. A thread looks at the run (`feed`), finds what has changed (`tracking`), and sends
it as binary records (`wire`) through a channel that never holds more than somebody takes
(`channel`). What is slow, and what a click asks for (`actions`), is done at a `desk`. `html` is the
snapshot that a saved notebook keeps.

Its names are loaded when they are first used: a terminal needs no ipywidgets.
"""

from typing import TYPE_CHECKING

from nbflow._lazy import lazily

if TYPE_CHECKING:
    from nbflow.panels.html import panel_html
    from nbflow.panels.panel import RunPanel
    from nbflow.panels.widget import RunWidget

__all__ = ["RunPanel", "RunWidget", "panel_html"]

__getattr__ = lazily(
    __name__, {"RunPanel": ".panel", "RunWidget": ".widget", "panel_html": ".html"}
)
