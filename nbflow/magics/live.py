"""One live session: its cells that are at work elsewhere, and how their results come back.

Results are taken over only between two cells: before the next one begins, or, where an event loop
runs in the kernel, as soon as it is idle. So no cell ever sees a variable change under its hands.
Variables are sent as they are when a cell is sent: what the session does to them meanwhile does not
reach it.
"""

import asyncio
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.core.cells import analyze
from nbflow.core.errors import NbflowError
from nbflow.core.values import Artifact
from nbflow.definition.cell_text import cell_texts, plain_python
from nbflow.guest_namespace.graph import user_variables
from nbflow.magics.claims import Claims
from nbflow.magics.errors import Refused, cell_error
from nbflow.magics.executed import Executed
from nbflow.magics.following import stayed_behind
from nbflow.magics.needs import Variables, names_read
from nbflow.magics.node import SentCell
from nbflow.magics.outputs import place_for, publish
from nbflow.magics.planning import ReadyCell, ready_cell
from nbflow.magics.sending import Sent, StageNode, start, stored, surroundings, working_folder
from nbflow.magics.variables import KernelVariables

if TYPE_CHECKING:
    from nbflow.cluster.connecting import Target

#: How long one wait lasts before it is looked whether somebody has interrupted, in seconds.
_TURN_S = 0.5


class LiveSession:
    """What the extension knows of a session.

    Parameters
    ----------
    shell
        IPython's.
    executed
        What it has executed.
    """

    def __init__(self, shell: Any, executed: Executed) -> None:
        self.shell = shell
        self.executed = executed
        #: Tells this session from all others.
        self._origin = uuid.uuid4().hex
        self.moving = KernelVariables(shell, self._origin)
        #: All cells that were sent, by name.
        self.sent: dict[str, SentCell] = {}
        self._open: list[SentCell] = []
        self._claims = Claims(shell.user_ns)
        self._busy = True  # the cell that loads the extension is being executed
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._events: dict[str, Callable[..., None]] = {
            "pre_run_cell": self._before_cell,
            "post_run_cell": self._after_cell,
        }
        for event, function in self._events.items():
            shell.events.register(event, function)

    @property
    def namespace(self) -> dict[str, Any]:
        """The user's variables, and what IPython keeps beside them."""
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    def close(self) -> None:
        """Let go of everything: cells that are at work are stopped."""
        for event, function in self._events.items():
            self.shell.events.unregister(event, function)
        for cell in self.sent.values():
            cell.let_go("nbflow was unloaded")
        self.take_over()

    # --- sending ------------------------------------------------------------------------------

    def send(
        self,
        source: str,
        *,
        name: str = "",
        cluster: "Target | None" = None,
        timeout_s: float | None = None,
        waits: bool = False,
    ) -> SentCell:
        """Send a cell, and return at once.

        Parameters
        ----------
        source
            The cell, without the magic.
        name
            Of its node; by default one is made.
        cluster
            As of `nbflow.Flow.run`.
        timeout_s
            Seconds after which it is stopped.
        waits
            Whether `finish` comes next.

        Raises
        ------
        Refused
            If the cell can only run here, or a variable that it needs cannot be moved.
        nbflow.core.errors.NbflowError
            If the cluster or the home cannot be used.
        """
        self.take_over()
        number = self.executed.current
        name = self._named(name, number)
        values = user_variables(self.shell)
        variables = Variables(values, self.namespace)
        texts = self.executed.texts(source)
        if not texts or texts[-1].index != number:
            raise Refused("there is nothing in this cell")
        self._refuse_pending(texts[-1].text)
        ready = ready_cell(texts, variables, number)
        where = surroundings(os.environ, working_folder())
        ready, takes = self._packed(ready, where.home)
        sent = Sent(
            sources=ready.sources,
            nodes=(StageNode(name=name, spec=ready.spec, takes=dict(takes), brings=ready.brings),),
            path=where.folder / f"{name}.ipynb",
            known=tuple(text.source or text.text for text in texts),
            timeout_s=timeout_s,
        )
        place = place_for(self.shell, f"nbflow-{self._origin}-{name}", waits=waits)
        run = start(sent, where, cluster)
        before = {each: values[each] for each in ready.changes}
        before |= self.moving.generator_marks(ready.spec.generators)
        cell = SentCell(name, number, ready, takes, before, run, place, self._soon, waits=waits)
        self.sent[name] = cell
        self._open.append(cell)
        self._claims.claim(name, ready.binds)
        self.executed.note_instead([source])
        cell.follow()
        return cell

    def _named(self, name: str, number: int) -> str:
        if name in self.sent:
            raise Refused(f"there is a node {name} already. Give this one another --name")
        if name:
            return name
        plain = f"cell-{number}"
        taken = sum(each == plain or each.startswith(f"{plain}.") for each in self.sent)
        return f"{plain}.{taken + 1}" if taken else plain

    def _refuse_pending(self, text: str) -> None:
        for name in sorted(names_read(text)):
            holder = self._claims.holder(name)
            if holder is not None:
                raise Refused(_not_there(name, holder))

    def _packed(self, ready: ReadyCell, home: Path) -> tuple[ReadyCell, Mapping[str, Artifact]]:
        """Store what the cell takes."""
        with tempfile.TemporaryDirectory(prefix="nbflow-session-") as folder:
            given = self.moving.give(ready.spec.cells[-1].takes, Path(folder))
            for name in ready.needs:
                if name in given.problems:
                    raise Refused(f"`{name}` cannot be sent: {given.problems[name]}")
            ready = ready.without(tuple(given.problems))
            return ready, stored(given.files, home)

    # --- coming back --------------------------------------------------------------------------

    def take_over(self, *, idle: bool = False) -> None:
        """Bind what cells that have ended have brought.

        Parameters
        ----------
        idle
            Whether no cell is being executed, so that outputs may have no place to go to.
        """
        ended = [each for each in self._open if each.has_ended]
        for cell in ended if not idle else [each for each in ended if each.place.any_time]:
            self._open.remove(cell)
            try:
                note = self._taken(cell)
            except (NbflowError, OSError) as error:
                # This may be between two cells, where nobody would see it raised.
                self._claims.settle(cell.name, cell.ready.binds, {})
                note = f"nothing of it was taken over: {error}"
            cell.place.close(cell.outputs, "; ".join(filter(None, (cell.remark, note))))

    def wait(self, names: Sequence[str] = (), timeout_s: float | None = None) -> list[SentCell]:
        """Wait until cells have ended, and take over what they have brought.

        Raises
        ------
        Refused
            If there is no such node.
        TimeoutError
            If the time passed first.
        """
        cells = [self.cell(name) for name in names] or list(self._open)
        for cell in cells:
            left_s = timeout_s
            while not cell.wait(_TURN_S if left_s is None else min(left_s, _TURN_S)):
                if left_s is not None and (left_s := left_s - _TURN_S) <= 0:
                    raise TimeoutError(f"{cell.name} is still at work after {timeout_s} s")
        self.take_over()
        return cells

    def finish(self, cell: SentCell) -> None:
        """Wait for a cell as if it ran here: its outputs are this cell's, and so is its error.

        Raises
        ------
        CellError
            What the cell has raised.
        """
        try:
            self.wait([cell.name])
        except KeyboardInterrupt:
            cell.cancel()
            self.wait([cell.name])
            raise
        for output in cell.outputs:
            if output["output_type"] == "error":
                raise cell_error(output["ename"], output["evalue"], output["traceback"])
        if not cell.succeeded:
            raise Refused(cell.note)

    def cell(self, name: str) -> SentCell:
        """Return a cell that was sent, by its name, or by a variable that it is to bind.

        Raises
        ------
        Refused
            If there is none.
        """
        holder = self._claims.holder(name)
        if name not in self.sent and holder is None:
            known = ", ".join(self.sent) or "none"
            which = f"named {name!r} was sent" if name else "was sent"
            raise Refused(f"no cell {which} (there are: {known})")
        return self.sent[name if name in self.sent else str(holder)]

    def _taken(self, cell: SentCell) -> str:
        """Take over what a cell has brought; return what is to be said of it."""
        ready = cell.ready
        if not cell.succeeded or cell.end is None:
            self._claims.settle(cell.name, ready.binds, {})
            return ""
        outputs = {
            name: value
            for name, value in cell.end.outputs.items()
            if isinstance(value, Artifact) and value.kind == "namespace"
        }
        fresh = {
            name: value
            for name, value in outputs.items()
            if name in ready.binds or value.digest != getattr(cell.takes.get(name), "digest", "")
        }
        store = cell.run._home.store  # noqa: SLF001 - the handle reads plain values only
        values = self.moving.take({name: store.path(it.digest) for name, it in fresh.items()})
        left = stayed_behind(cell.run, cell.name)
        gone = [name for name in ready.deletes if name not in outputs]
        kept = self._claims.settle(cell.name, ready.binds, values, [*gone, *left])
        seen = self._change(cell, {it: values[it] for it in values if it not in ready.binds})
        behind = [f"`{name}` stays behind: {why}" for name, why in left.items()]
        return "; ".join(filter(None, (*behind, _kept(kept), seen)))

    def _change(self, cell: SentCell, values: Mapping[str, Any]) -> str:
        """Put what a cell has changed in the place of what it was."""
        generators = [name for name in values if self.moving.is_generator(name)]
        marks = self.moving.generator_marks(generators)
        drawn = [name for name in generators if marks[name] != cell.before[name]]
        for name in set(generators).difference(drawn):
            self.moving.set_generator(name, values[name])
        changed = {it for it in values if it in cell.before and it not in generators}
        used = self._used_since(cell, changed)
        lost = [it for it in changed if self.namespace.get(it) is not cell.before[it] or used(it)]
        for name in changed.difference(lost):
            self.namespace[name] = values[name]
        return _kept([*sorted(lost), *drawn])

    def _used_since(self, cell: SentCell, names: Collection[str]) -> Callable[[str], bool]:
        """Return a test whether cells that have run since may have bound or changed a variable."""
        texts = self.executed.begun()
        since = {each.index for each in texts if each.index > cell.number}
        if not since or not names:
            return lambda _: False
        facts = [it for it in analyze(cell_texts(texts)).cells if it.index in since]
        touched = {use.name for it in facts for use in (*it.writes, *it.changes, *it.deletes)}
        return touched.__contains__

    # --- between cells ------------------------------------------------------------------------

    def _soon(self) -> None:
        """Take over when the kernel is idle; called in another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._when_idle)

    def _when_idle(self) -> None:
        # A cell that awaits something leaves the loop to others, and is not over yet.
        if not self._busy:
            self.take_over(idle=True)

    def _before_cell(self, info: Any) -> None:
        self._busy = True
        self.take_over()
        self._hint(str(info.raw_cell))

    def _after_cell(self, _: Any) -> None:
        self._busy = False
        self._soon()

    def _hint(self, source: str) -> None:
        """Say why a variable that the cell reads is not there."""
        if not self._open or source.startswith("%%nbflow"):
            return
        for name in sorted(names_read(plain_python(source).text)):
            holder = self._claims.holder(name)
            if holder is not None:
                print(f"nbflow: {_not_there(name, holder)}", file=sys.stderr)  # noqa: T201 - told

    def publish(self, cell: SentCell) -> None:
        """Show the outputs of a cell once more."""
        publish(self.shell, cell.outputs)


def _not_there(name: str, holder: str) -> str:
    return (
        f"`{name}` is not there yet: {holder} is at work on it. %nbflow wait {holder} waits for it"
    )


def _kept(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(f"`{name}`" for name in names)
    return f"{shown} was bound or changed here meanwhile, and is left as it is here"
