"""The magics themselves: ``%nbflow`` and ``%%nbflow_node``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from nbflow.core.errors import NbflowError
from nbflow.magics.arguments import run_options, send_options, wait_options, words_of
from nbflow.magics.errors import Refused
from nbflow.magics.executed import Executed

if TYPE_CHECKING:
    from nbflow.magics.live import LiveSession

_USAGE = {
    "graph": "graph [NOTEBOOK]: draw which cells can run side by side",
    "why": "why CELL CELL: say why one cell depends on another",
    "check": "check [NOTEBOOK]: say what keeps cells from running side by side",
    "run": "run [NOTEBOOK] [--cluster C]: run the stale cells of the notebook on a cluster",
    "status": "status: list the cells that were sent",
    "wait": "wait [NAME…] [-t SECONDS]: wait for cells that were sent",
    "show": "show [NAME]: show the outputs of a cell that was sent, or of the last one, once more",
    "cancel": "cancel [NAME…]: stop cells that were sent",
}


@magics_class
class NbflowMagics(Magics):
    """Use nbflow from a live session.

    Parameters
    ----------
    shell
        IPython's.
    """

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.executed = Executed(shell)
        self._live: LiveSession | None = None

    @property
    def live(self) -> "LiveSession":
        """What is known of the session."""
        if self._live is None:
            from nbflow.magics.live import LiveSession  # lazy: loading the extension is quick

            self._live = LiveSession(self.shell, self.executed)
        return self._live

    def close(self) -> None:
        """Stop what is at work, and let go of everything."""
        if self._live is not None:
            self._live.close()
            self._live = None
        self.executed.close()

    @line_magic
    def nbflow(self, line: str) -> None:
        """Look at the cells of this notebook, and at those that a cluster works on.

        Lines: ``graph``, ``why``, ``check``, ``run``, ``status``, ``wait``, ``show``, ``cancel``;
        ``%nbflow`` alone lists them.
        """
        _plainly(lambda: self._act(words_of(line)))

    def _act(self, words: list[str]) -> None:
        if not words:
            print("\n".join(f"%nbflow {usage}" for usage in _USAGE.values()))  # noqa: T201
            return
        actions: dict[str, Callable[[list[str]], None]] = {
            "graph": self._graph,
            "why": self._why,
            "check": self._check,
            "run": self._run,
            "status": self._status,
            "wait": self._wait,
            "show": self._show,
            "cancel": self._cancel,
        }
        if words[0] not in actions:
            raise Refused(f"%nbflow knows {', '.join(actions)}, and not {words[0]!r}")
        actions[words[0]](words[1:])

    @cell_magic
    def nbflow_node(self, line: str, cell: str) -> None:
        """Send this cell to a cluster, and go on at once; its outputs appear here.

        ``%%nbflow_node [--cluster C] [--name NAME] [--wait] [-t SECONDS]``

        C is the address of a Dask scheduler, a scheduler file, or a variable with a Client or a
        Cluster; without it, a cluster on this machine. With ``--wait`` the cell is over when its
        work is.
        """
        _plainly(lambda: self._send(line, cell))

    def _send(self, line: str, source: str) -> None:
        from nbflow.magics.sending import cluster_named

        options = send_options(line)
        cell = self.live.send(
            source,
            name=options.name,
            cluster=cluster_named(options.cluster, self.live.namespace),
            timeout_s=options.timeout_s,
            waits=options.wait,
        )
        if options.wait:
            self.live.finish(cell)

    def _graph(self, words: list[str]) -> None:
        from nbflow.magics import drawing

        live = self.live
        with drawing.shown_notebook(_only(words), live.executed, live.namespace) as shown:
            drawing.draw(shown)
            print(f"nbflow: {shown.what}")  # noqa: T201 - the magic's answer

    def _why(self, words: list[str]) -> None:
        from nbflow.magics import drawing

        first, second, *more = [*drawing.numbers(words[:2], "%nbflow why 3 7"), *words[2:], ""][:3]
        live = self.live
        with drawing.shown_notebook(more[0] if more else "", live.executed, live.namespace) as it:
            drawing.tell(it, "why", first, second)

    def _check(self, words: list[str]) -> None:
        from nbflow.magics import drawing

        live = self.live
        with drawing.shown_notebook(_only(words), live.executed, live.namespace) as shown:
            drawing.tell(shown, "check", "--cells")

    def _run(self, words: list[str]) -> None:
        from nbflow.magics.rerun import run_stale
        from nbflow.magics.sending import cluster_named

        options = run_options(words)
        run_stale(self.live, options.notebook, cluster_named(options.cluster, self.live.namespace))

    def _status(self, words: list[str]) -> None:
        _only_nothing(words)
        self.live.take_over()
        for cell in self.live.sent.values():
            print(cell.status)  # noqa: T201 - the magic's answer
        if not self.live.sent:
            print("nbflow: no cell was sent; %%nbflow_node sends one")  # noqa: T201

    def _wait(self, words: list[str]) -> None:
        options = wait_options(words)
        self.live.wait(options.names, options.timeout_s)

    def _show(self, words: list[str]) -> None:
        # The cell that was sent last, if none is named.
        cell = self.live.cell(_only(words or list(self.live.sent)[-1:]))
        self.live.publish(cell)
        print(cell.status)  # noqa: T201 - the magic's answer

    def _cancel(self, words: list[str]) -> None:
        cells = [self.live.cell(name) for name in words] or list(self.live.sent.values())
        for cell in cells:
            if not cell.has_ended:
                cell.cancel()
        self.live.wait([cell.name for cell in cells])


def _plainly(action: Callable[[], None]) -> None:
    """Do something; what nbflow has to say against it is one line, and no traceback."""
    try:
        action()
    except (NbflowError, TimeoutError) as error:
        # IPython shows this very type as one line.
        raise UsageError(str(error)) from error


def _only(words: list[str]) -> str:
    if len(words) > 1:
        raise Refused(f"one word is enough, and these are more: {' '.join(words)}")
    return words[0] if words else ""


def _only_nothing(words: list[str]) -> None:
    if words:
        raise Refused(f"nothing is expected here, and there is: {' '.join(words)}")
