"""The widget itself: one anywidget, whatever part of a run it shows.

State that is asked for when a page opens (names, picture, the standing of all nodes) lives in
traits, and what moves of it is packed only then; everything that moves goes as messages of the
feed.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anywidget
import msgspec
import traitlets

from nbflow.core.view import RunView
from nbflow.panels.actions import Actions, Asked
from nbflow.panels.detail import TABS
from nbflow.panels.feed import Feed
from nbflow.panels.followed import Followed
from nbflow.panels.picture import picture_of
from nbflow.panels.structure import structure_of
from nbflow.panels.subshell import route_clicks

#: ``panel`` shows all, the others one part each.
Piece: TypeAlias = Literal["panel", "progress", "resources", "stuck"]

#: The parts of the ESM file, in the order in which they are evaluated.
_PARTS = (
    "helpers",
    "colours",
    "store",
    "graph",
    "timeline",
    "table",
    "attention",
    "header",
    "node",
    "views",
)

#: Most groups that are drawn open at a time.
_MAX_OPENED = 5


def _packed(_: Any, widget: "RunWidget") -> bytes:
    return widget.feed.snapshot()


def _summed(_: Any, widget: "RunWidget") -> str:
    return widget.feed.summary().decode()


def _structure(view: RunView) -> str:
    return msgspec.json.encode(structure_of(view, str(Path.cwd()))).decode()


@cache
def _module() -> str:
    """Return the one ESM file that front ends load, put together from its parts."""
    return "\n".join(_static(f"panel/{part}.js") for part in _PARTS)


@cache
def _static(name: str) -> str:
    return files("nbflow.panels").joinpath("static", name).read_text(encoding="utf-8")


class RunWidget(anywidget.AnyWidget):
    """A live look at a run, for any place that shows ipywidgets.

    Parameters
    ----------
    run
        What is shown.
    piece
        Which part of it.
    changed
        Called in another thread, with the view, when the run's status has changed.
    clock
        Gives the time in seconds since the epoch.

    Notes
    -----
    It follows the run from its creation until the run has ended or `close` is called. It may be
    displayed any number of times, and put into layouts like any other widget.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    piece = traitlets.Unicode("panel").tag(sync=True)
    structure = traitlets.Unicode("").tag(sync=True)
    picture = traitlets.Unicode("").tag(sync=True)
    #: How clicks reach the kernel; see `nbflow.panels.subshell`.
    clicks = traitlets.Unicode("main").tag(sync=True)
    # These two are never set: they are made when a front end asks for the widget's state.
    snapshot = traitlets.Bytes(b"").tag(sync=True, to_json=_packed)
    summary = traitlets.Unicode("").tag(sync=True, to_json=_summed)

    def __init__(
        self,
        run: Followed,
        piece: Piece = "panel",
        *,
        changed: Callable[[RunView], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._opened: tuple[str, ...] = ()
        self._told_changed = changed
        view = run.view()
        self._graph = view.run.graph
        self.feed = Feed(run, view, self._tell, self._renew, clock=clock)
        self._actions = Actions(run, self.feed)
        super().__init__(
            piece=piece,
            structure=_structure(view),
            picture=self._drawn(),
            _esm=_module(),
            _css=_static("panel.css"),
        )
        self.on_msg(self._asked)
        self.clicks = route_clicks(self.comm)
        self.feed.channel.answers_come = self.clicks == "own"
        self.feed.start()

    @property
    def live(self) -> bool:
        """Whether the run is still being followed."""
        return self.feed.live

    def close(self) -> None:
        """Stop following the run, and remove the widget wherever it is displayed."""
        self.feed.close()
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()

    def _tell(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        if self.comm is not None:
            self.send(content, list(buffers))

    def _renew(self, view: RunView) -> None:
        """Make names and picture anew if the flow is another one, and tell of the change."""
        if view.run.graph is not self._graph:
            self._graph = view.run.graph
            self.structure = _structure(view)
            self.picture = self._drawn()
        if self._told_changed is not None:
            self._told_changed(view)

    def _drawn(self) -> str:
        return msgspec.json.encode(picture_of(self._graph, self._opened)).decode()

    def _asked(self, _: Any, content: Any, __: Any) -> None:
        """Take a message of a front end; in whatever thread Jupyter chooses."""
        match content:
            case {"t": "ok", "seq": int(seq)}:
                self.feed.heard(seq)
            case {"t": "hello"}:
                self.feed.greet()
            case {"t": "all"}:
                self.feed.ask_all()
            case {"t": "choose", "index": int(index), "tab": str(tab)} if tab in TABS:
                self.feed.heard()
                self.feed.choose(index, tab)
            case {"t": "open", "key": str(key)}:
                self.feed.heard()
                self.feed.desk.ask("picture", lambda: self._open(key))
            case {"t": "act"}:
                self.feed.heard()
                self._act(content)

    def _act(self, content: dict[str, Any]) -> None:
        try:
            asked = msgspec.convert({k: v for k, v in content.items() if k != "t"}, Asked)
        except msgspec.ValidationError as error:
            self.log.warning("nbflow: a click that cannot be understood: %s", error)
            return
        self._actions.ask(asked)

    def _open(self, key: str) -> None:
        """Draw the nodes of a group one by one, or the group again; an empty key closes all."""
        if not key:
            self._opened = ()
        elif key in self._opened:
            self._opened = tuple(each for each in self._opened if each != key)
        else:
            self._opened = (*self._opened, key)[-_MAX_OPENED:]
        self.picture = self._drawn()
