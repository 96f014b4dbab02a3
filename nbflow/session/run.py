"""The handle of a run.

A `Run` only looks and asks; the driver acts. Its driver may live in this process (a
`Launch`), in another one, or nowhere any more: the handle reads the same either way, and
`resume` makes this process the driver.
"""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from nbflow.cluster.connecting import Target
from nbflow.core.decisions import ONLY_OF_SUCCESS, Decision
from nbflow.core.errors import LostLease, NbflowError, RunHeld
from nbflow.core.resuming import Wish
from nbflow.core.states import RUN_ENDED, RunStatus
from nbflow.definition.builder import FlowBuilder
from nbflow.driver.undriven import cancel_without_driver
from nbflow.session import detaching, launching, watching
from nbflow.session.claiming import briefly_claimed
from nbflow.session.continuing import (
    Again,
    ForkRequest,
    decide,
    fork,
    plan_resume,
    stored_values,
)
from nbflow.session.home import Home
from nbflow.session.importing import without_collection
from nbflow.session.launch import Launch
from nbflow.session.looking import SeenRun


class Run(SeenRun):
    """One execution of a flow. Made by `Flow.run`, `Flow.start` and `nbflow.attach`.

    Parameters
    ----------
    id, home, launch
        As of `SeenRun`.
    """

    def __init__(self, id: str, home: Home, launch: Launch | None = None) -> None:  # noqa: A002 - the interface's name
        super().__init__(id, home, launch)
        self._panel: Any = None

    @property
    def driven_here(self) -> bool:
        """Whether this process drives the run."""
        return self._launch is not None and not self._launch.done.done()

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until the run has ended, or nobody drives it any more.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits as long as it takes.

        Returns
        -------
        RunStatus
            Where the run stands then. A failed node raises nothing here; `Flow.run` does.

        Raises
        ------
        TimeoutError
            If the time passed first.
        nbflow.core.errors.LostLease
            If another driver has taken it over; the handle follows that one from here on.
        nbflow.core.errors.NbflowError
            If the driver could not go on (the journal cannot be written, say).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        launch = self._launch
        if launch is not None:
            error = launch.done.exception(timeout)
            launch.join()
            if isinstance(error, LostLease):
                # Told once. From here on, the handle follows the driver that has the run.
                self._launch = None
                raise error
            if not self._is_past(launch):
                launch.done.result()
                return self.status
        # A run that has ended and is driven is about to be let go, or has just been resumed.
        while self.view().driven:
            left_s = 60.0 if deadline is None else deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"run {self.id} is still {self.status} after {timeout} s")
            self.wait_changed(left_s)
        return self.status

    def __await__(self) -> Generator[Any, None, "Run"]:
        return self._awaited().__await__()

    async def _awaited(self) -> "Run":
        """Wait like `wait`, in a running event loop."""
        if self._launch is not None:
            # How it ended is for `wait` to tell.
            await asyncio.gather(asyncio.wrap_future(self._launch.done), return_exceptions=True)
        await asyncio.to_thread(self.wait)
        return self

    def cancel(self) -> None:
        """Cancel the run, whoever drives it. What has succeeded stays; `resume` continues."""
        by, view = _somebody(), self.view()
        if view.run.status in RUN_ENDED:
            return
        if self._launch is not None and self.driven_here:
            self._launch.cancel(by)
        elif view.driven:
            self._home.journal.signal(self.id, "cancel", by, at=time.time())
        else:
            with briefly_claimed(self._home, self.id) as held:
                cancel_without_driver(
                    held.run,
                    held.epoch,
                    self._home.journal,
                    self._home.store,
                    by=by,
                    clock=time.time,
                )

    def interrupt(self, why: str = "interrupted") -> None:
        """Let go of the run: stop what runs here, so that anyone may resume it.

        Raises
        ------
        nbflow.core.errors.NbflowError
            If the run is not driven by this process.
        """
        if self._launch is None:
            raise NbflowError(f"run {self.id} is not driven by this process; cancel() reaches it")
        self._launch.stop(why)

    def resume(
        self,
        *,
        cluster: Target | None = None,
        workers: int | None = None,
        wait: bool = True,
        progress: bool | None = None,
        detach: bool = False,
        flow: FlowBuilder | None = None,
        begin_at: Iterable[str] = (),
        only: Iterable[str] = (),
        force: bool = False,
        as_recorded: bool = False,
    ) -> "Run":
        """Continue the run: what succeeded and is unchanged is kept, all else is tried again.

        The flow is read again where it was loaded from, and its notebooks are in any case. What has
        changed runs again, and so does what receives other outputs because of that. All of it is
        told as warnings before anything starts.

        Parameters
        ----------
        cluster, workers
            As for `Flow.run`.
        wait
            Whether to wait for its end; otherwise this returns at once.
        progress
            Whether to show progress while waiting; None decides by where this runs.
        detach
            Whether a process of its own drives the run, which outlives this one. Then this does
            not wait for the end.
        flow
            The definition, where it was made by calls and has changed.
        begin_at
            Nodes that run again even if they are unchanged.
        only
            Nothing but these nodes runs; the others are left for another time.
        force
            Nothing is kept of `only`, or of `begin_at` and what is behind them, or of all nodes.
        as_recorded
            Whether to go on with the flow as it was when the run began.

        Raises
        ------
        nbflow.core.errors.RunHeld
            If another driver holds the run.
        nbflow.core.errors.DefinitionError
            If the flow, as it is now, is not fit to run.
        nbflow.core.errors.RunFailed
            If it was waited for, and a node failed.
        """
        if self.driven_here:
            raise RunHeld(f"run {self.id} is being driven by this process already")
        wish = Wish(tuple(begin_at), tuple(only), force)
        again = Again(flow, wish, as_recorded, launching.slots_of(cluster, workers))
        with without_collection():
            run = self.view().run
            resumption, plan = plan_resume(self._home, run, again)
        if not plan.nothing:
            self._followed = None
            if detach:
                self._launch = None
                detaching.resume(self._home, run, cluster, workers, resumption)
            else:
                self._launch = launching.resume(
                    self._home, self.id, cluster, workers, resumption, run
                )
                AtExit(self._launch)
        if self._panel is not None:
            self._panel.wake()  # it had seen the run's end, and looked no more
        if wait and not detach:
            self.join(progress=progress)
        return self

    def resolve(
        self,
        node: str,
        verdict: Literal["succeeded", "failed", "retry"],
        *,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Decide what became of a node that is in doubt, which the run waits for.

        Parameters
        ----------
        node
            The node. It is declared at most once, and nobody knows how its last attempt ended,
            or it would have to be repeated.
        verdict
            ``"succeeded"``, ``"failed"``, or ``"retry"``: it may begin once more.
        outputs
            What it had brought, of a success.

        Raises
        ------
        nbflow.core.errors.NbflowError
            If there is nothing to decide, or outputs that others receive are missing, or some are
            given that no success has brought.
        """
        if outputs and verdict != "succeeded":
            raise NbflowError(f"run {self.id}: {ONLY_OF_SUCCESS}")
        values = stored_values(self._home.store, outputs or {})
        decide(self._home, self.view(), Decision(node, verdict, _somebody(), values))

    def fork(
        self,
        *,
        flow: FlowBuilder | None = None,
        params: Mapping[str, Any] | None = None,
        cluster: Target | None = None,
        workers: int | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        run_id: str | None = None,
        wait: bool = True,
        progress: bool | None = None,
        **given: Any,
    ) -> "Run":
        """Start another run with other parameters or code, from what it shares with this one.

        Nodes that would be made of the very same take their results from this run.

        Parameters
        ----------
        flow
            Another definition; by default this run's, read again.
        params, **given
            Parameters that differ from this run's.
        cluster, workers, output_dir, run_id
            As of `Flow.run`.
        wait, progress
            As of `resume`.

        Raises
        ------
        nbflow.core.errors.DefinitionError
            If the flow is not fit to run.
        nbflow.core.errors.RunFailed
            If it was waited for, and a node failed. Its ``run`` is the new run.
        """
        asked = ForkRequest(
            flow,
            {**(params or {}), **given},
            cluster,
            workers,
            None if output_dir is None else Path(output_dir),
            run_id,
        )
        new, launch, home = fork(self._home, self.view().run, asked)
        AtExit(launch)
        run = Run(new, home, launch)
        return run.join(progress=progress) if wait else run

    def join(self, *, progress: bool | None = None) -> "Run":
        """Wait for the end, show progress, and raise if a node failed.

        An interrupt (Ctrl-C) lets go of the run in good order first; a second one
        does not wait for that. If another process drives the run, an interrupt ends only the
        waiting.

        Raises
        ------
        nbflow.core.errors.RunFailed
            If a node failed.
        nbflow.core.errors.RunCancelled
            If the run was cancelled or interrupted.
        nbflow.core.errors.RunInterrupted
            If its driver could not go on (the disk is full, the cluster is gone).
        nbflow.core.errors.LostLease
            If another driver has taken it over; the handle follows that one from here on.
        KeyboardInterrupt
            After an interrupt.
        """
        watching.join(self, progress=progress)
        return self

    def panel(self) -> Any:
        """Return the live panel for a notebook; the same one while the run goes on."""
        from nbflow.session import showing  # lazy: only notebooks need ipywidgets

        if self._panel is None or not self._panel.live:
            self._panel = showing.panel(self)
        return self._panel

    def progress(self) -> Any:
        """Return an ipywidget with state, progress bar and time to the end, for own layouts."""
        from nbflow.session import showing  # lazy: only notebooks need ipywidgets

        return showing.progress(self)

    def _ipython_display_(self) -> None:
        """Display the panel, which moves as the run does."""
        self.panel()._ipython_display_()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Return the panel's forms, for front ends that ask for them."""
        return self.panel()._repr_mimebundle_(include=include, exclude=exclude)

    def close(self) -> None:
        """Let go of the journal. The handle is of no use then; a run that is driven here goes on.

        Not needed in scripts and notebooks: the journal is let go with the handle.
        """
        if not self.driven_here:
            self._home.close()


def _somebody() -> str:
    """Return who asks, as the journal tells it."""
    return f"{os.environ.get('USER', 'someone')}, process {os.getpid()}"


class AtExit:
    """Lets go of a run in good order when the interpreter ends before the run does.

    Ordinary `atexit` functions come too late: by then the executors that the driver writes
    with have been shut down. The hook that they themselves use comes before. It keeps what it
    has for as long as the process lives, and so this only refers to a run, which until its end
    is kept by its thread.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = weakref.ref(launch)
        register: Callable[[Callable[[], None]], None] | None = getattr(
            threading, "_register_atexit", None
        )
        if register is not None:
            register(self)

    def __call__(self) -> None:
        """Stop the run and wait until its processes are gone."""
        launch = self._launch()
        if launch is not None and not launch.done.done():
            launch.stop("the process that drove it has ended")
            launch.join()
