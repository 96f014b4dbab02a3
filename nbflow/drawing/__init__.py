"""What people see: pictures of graphs, and the words and looks that all front doors share.

Everything here is a pure function from values of the core to text, except `watch`, the one
thread that keeps a display up to date. The terminal's progress and the notebook's panel
are painted elsewhere, out of the same `NodeLine` and the same `Look`, so that a state reads alike
wherever it is met.
"""

from nbflow.drawing.formats import FORMATS, Format, render
from nbflow.drawing.states import state_diagram

__all__ = ["FORMATS", "Format", "render", "state_diagram"]
