"""The crash-point sweep: the driver ends at its n-th durable step, for each n.

``python -m chaos.sweep FOLDER [--first N] [--step K]`` runs the flow once undisturbed; then again
and again, and has it end at the N-th step, at the (N + K)-th, …, until a run comes through
undisturbed, because it has fewer steps. After each end another process resumes the run, and
everything is held against the undisturbed one. With ``--birth``, each run begins in a new home, so
that the steps by which a home is made are among those at which it ends.

Drivers are forked from this process, which has imported all that they need and has no thread:
so a run takes a fraction of a second. Their cluster is `in_process`; all else is nbflow's own.

Standard output has a `Report` as JSON. The exit code is 1 if anything was wrong.
"""

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import click
import msgspec

import nbflow
from chaos.answers import NodeAnswer, answer_of, differences, repetitions
from chaos.crash_points import CrashPoints
from chaos.deciding import decide_doubts
from chaos.in_process import InProcess
from chaos.marks import Marks
from chaos.subject import lay_out
from nbflow.core.errors import NbflowError, UnknownRun
from nbflow.core.machine import replay
from nbflow.journal import locks
from nbflow.session import launch, launching
from nbflow.session.home import Home, is_driven
from nbflow.session.verifying import verify

#: Resumes after which a run should have ended: one, and one for each decision.
_MOST_RESUMES = 4
#: A resume that ends early, too, does so within so many steps.
_EARLY = 40


class Found(msgspec.Struct):
    """What was seen of one run."""

    answer: dict[str, NodeAnswer]
    faults: list[str]


class Report(msgspec.Struct):
    """What a sweep has seen."""

    #: How often the driver has ended before each kind of step.
    steps: dict[str, int]
    faults: list[str]


class Sweep:
    """A folder in which the flow runs again and again.

    Parameters
    ----------
    folder
        An empty folder.
    birth
        Whether each run has a home of its own.
    again
        Whether the first process that resumes a run ends early, too.
    """

    def __init__(self, folder: Path, *, birth: bool, again: bool) -> None:
        self._folder = folder
        self._birth = birth
        self._again = again
        self._wanted: dict[str, NodeAnswer] = {}
        self._target = lay_out(folder)

    def rehearse(self) -> None:
        """Import all that drivers need, so that each finds it in its memory."""
        flow = nbflow.load(self._target)
        flow.prepare({}, kernels=launching.own_kernels())
        gc.freeze()

    def undisturbed(self) -> None:
        """Run the flow without disturbance, twice: the second run knows what the first has made."""
        for run in ("first", "second")[: 1 if self._birth else 2]:
            ended = _in_a_process(partial(self._start, run, 0))
            found = self._found(run) if ended == 0 else None
            if found is None or found.faults:
                raise RuntimeError(f"the undisturbed run has ended with {ended}: {found}")
            self._wanted = found.answer

    def end_at(self, nth: int) -> tuple[str, list[str]]:
        """Have a run end at its n-th step, and resume it; say which step, and what was wrong.

        The step is empty if the run has come through.
        """
        run = f"n{nth}"
        ended = _in_a_process(partial(self._start, run, nth))
        step = self._told(run).read_text() if ended == -signal.SIGKILL else ""
        if step:
            if self._again:
                _in_a_process(partial(self._resume, run, nth * 17 % _EARLY + 1))
            ended = _in_a_process(partial(self._resume, run, 0))
        if ended != 0:
            return step, [f"step {nth}, {step}: the next process has ended with {ended}"]
        found = self._found(run)
        faults = [*found.faults, *differences(found.answer, self._wanted)]
        return step, [f"step {nth}, {step}: {fault}" for fault in faults]

    # --- in processes of their own ----------------------------------------------------------------

    def _start(self, run: str, nth: int) -> None:
        self._enter(run)
        CrashPoints(nth, self._told(run)).watch(self._home(run))
        flow = nbflow.load(self._target)
        flow.run(run_id=run, home=self._home(run), progress=False).close()
        self._look(run)

    def _resume(self, run: str, nth: int) -> None:
        self._enter(run)
        CrashPoints(nth, self._told(run)).watch(self._home(run))
        try:
            handle = nbflow.attach(run, home=self._home(run))
        except UnknownRun:
            # It had not been recorded: whoever wanted it starts it again.
            self._start(run, 0)
            return
        for _ in range(_MOST_RESUMES):
            try:
                handle.resume(progress=False)
            except NbflowError:
                decide_doubts(handle, Marks.read(self._marks(run)))
            else:
                break
        handle.close()
        self._look(run)

    def _look(self, run: str) -> None:
        """Write down what there is to be seen of a run that should have ended."""
        home = Home.open(self._home(run))
        try:
            found = Found(*_seen(home, run, Marks.read(self._marks(run))))
        finally:
            home.close()
        if locks.is_open(home.folder / "journal.sqlite"):
            found.faults.append("somebody still has the journal open")
        self._seen(run).write_bytes(msgspec.json.encode(found))

    def _enter(self, run: str) -> None:
        launch.DaskCluster = InProcess
        os.environ["CHAOS_MARKS"] = str(self._marks(run))
        os.environ["CHAOS_PACE"] = "0"

    def _found(self, run: str) -> Found:
        return msgspec.json.decode(self._seen(run).read_bytes(), type=Found)

    # --- places -----------------------------------------------------------------------------------

    def _home(self, run: str) -> Path:
        return self._folder / (f"home-{run}" if self._birth else "home")

    def _marks(self, run: str) -> Path:
        return self._folder / f"{run}.marks"

    def _told(self, run: str) -> Path:
        return self._folder / f"{run}.step"

    def _seen(self, run: str) -> Path:
        return self._folder / f"{run}.seen"


def _seen(home: Home, run: str, marks: Marks) -> tuple[dict[str, NodeAnswer], list[str]]:
    """Return the answer of a run that should have ended, and all that is wrong about it."""
    row, records = home.journal.row(run), list(home.journal.read(run))
    state = replay(records)
    faults = list(repetitions(records, marks))
    faults += [] if state.status == "succeeded" else [f"the run is {state.status}"]
    # The lease of a driver that has ended before it gave it back keeps nobody out.
    faults += [f"{row.holder} still holds the run"] if is_driven(row, time.time()) else []
    faults += [str(finding) for finding in verify(home.journal, home.store, [run]).findings]
    return answer_of(state), faults


def _in_a_process(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process; return its exit code, negative if by a signal."""
    assert threading.active_count() == 1, "a fork has only the thread that made it"
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - it is told, and then there is only the exit
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--first", default=1, show_default=True, help="The first step to end at.")
@click.option("--step", default=1, show_default=True, help="How many steps to go on by.")
@click.option("--birth", is_flag=True, help="Give each run a home of its own.")
@click.option("--again", is_flag=True, help="End the first resume early, too.")
def main(folder: Path, first: int, step: int, birth: bool, again: bool) -> None:
    """End the driver at each of its durable steps, and resume."""
    began = time.monotonic()
    sweep = Sweep(folder.resolve(), birth=birth, again=again)
    sweep.rehearse()
    sweep.undisturbed()
    seen: Counter[str] = Counter()
    faults: list[str] = []
    for nth in count(first, step):
        where, wrong = sweep.end_at(nth)
        faults += wrong
        if not where:
            break
        seen[where] += 1
    print(msgspec.json.encode(Report(dict(seen), faults)).decode())
    took_s = time.monotonic() - began
    print(f"{seen.total()} ends, {len(faults)} faults, {took_s:.0f} s", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
