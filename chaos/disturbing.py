"""One run, disturbed until it ends.

A seed decides how: what is killed, when, how often, and how the run goes on each time (by one
process or by two at once, attached or detached, to end at some durable step of its driver or not).
When the processes come to where they are then is the machine's affair: the same seed
tells the same story, and not to the millisecond.

After each end of its driver somebody looks at the journal, decides about nodes in doubt, and
resumes, until the run has succeeded. Then everything is held against the undisturbed run.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import psutil

import nbflow
from chaos import processes
from chaos.answers import NodeAnswer, answer_of, differences, repetitions
from chaos.deciding import decide_doubts
from chaos.marks import Marks
from chaos.outside import Outside
from chaos.subject import lay_out
from nbflow.core import machine
from nbflow.core.errors import UnknownRun
from nbflow.journal import locks
from nbflow.ports import RunRow
from nbflow.session.home import Home, is_driven
from nbflow.session.verifying import verify

#: How long leases last here, in seconds: drivers that are stopped are taken over after that.
LEASE_S = 5.0
#: Mean time from one disturbance to the next, in seconds.
PAUSE_S = 0.2
#: How long a victim is waited for, and looked for in between; and how long it lives on, at most.
AWAITED_S, LOOK_S, MOMENT_S = 20.0, 0.03, 0.3
#: How long a run that is not disturbed any more may take; nobody waits for ever.
PATIENCE_S = 600.0
#: How long processes may take to end after their run has, in seconds.
GRACE_S = 30.0

#: What is disturbed how often.
WEIGHTS = {
    "driver": 14,
    "stopped driver": 2,
    "worker": 18,
    "scheduler": 14,
    "fork server": 16,
    "kernel": 50,
}
#: How often a run has a cluster of its own, or one from outside; shares of all runs.
FROM_OUTSIDE = 0.06
#: Of all beginnings of a driver, shares of those that end at a durable step, are detached, or are
#: two at once.
AT_A_STEP, DETACHED, TWO = 0.3, 0.1, 0.08
#: A driver that is to end at a durable step does so within as many.
STEPS = 90
#: Exit codes with which a driver ends that was not killed; see `nbflow --help`.
_ENDED = (0, 1, 130)
_HELD = 3
_NOTHING_WAS_RUN = 2

What: TypeAlias = Literal["repeated", "wrong answer", "left behind", "damaged", "stuck", "refused"]


class Fault(msgspec.Struct, frozen=True):
    """Something that must not be."""

    what: What
    text: str


class Story(msgspec.Struct):
    """What has happened to one run."""

    number: int
    kills: Counter[str] = msgspec.field(default_factory=Counter)
    beginnings: int = 0
    faults: list[Fault] = []

    def fault(self, what: What, text: str) -> None:
        """Note something that must not be."""
        self.faults.append(Fault(what, f"run {self.number}: {text}"))


class Ground:
    """A folder in which runs are disturbed: the flow, a home, and the undisturbed answer.

    Parameters
    ----------
    folder
        An empty folder with a short path: sockets lie below it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.target = lay_out(folder / "flow")
        self.answer: dict[str, NodeAnswer] = {}
        (folder / "t").mkdir()

    def learn(self) -> None:
        """Run the flow undisturbed, twice: the second run knows what the first one has made."""
        for run in ("first", "second"):
            environment = self.environment(run)
            with self.log(run).open("ab") as log:
                subprocess.run(
                    self.command("run", self.target, "--run-id", run),
                    env=environment,
                    stdout=log,
                    stderr=log,
                    check=True,
                )
        with self.opened() as home:
            self.answer = answer_of(machine.replay(home.journal.read("second")))

    def command(self, *words: str) -> list[str]:
        """Return the command line of a driver."""
        return [sys.executable, "-m", "chaos.driving", *words, "-q", "--home", str(self.home)]

    def environment(self, run: str) -> dict[str, str]:
        """Return the environment of all processes of a run."""
        root = str(Path(__file__).parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": str(self.folder / "t"),
            "CHAOS_MARKS": str(self.marks(run)),
            "CHAOS_LEASE_S": str(LEASE_S),
            "CHAOS_FOLDER": str(self.home),
            processes.VARIABLE: f"{self.folder.name}-{run}",
        }

    def marks(self, run: str) -> Path:
        """Return the file of a run's marks."""
        return self.folder / f"{run}.marks"

    def log(self, run: str) -> Path:
        """Return the file of what the drivers of a run say."""
        return self.folder / f"{run}.log"

    @contextlib.contextmanager
    def opened(self) -> Iterator[Home]:
        """Open the home for a moment."""
        home = Home.open(self.home)
        try:
            yield home
        finally:
            home.close()


class Disturbed:
    """One run; see the module.

    Parameters
    ----------
    ground
        Where it runs.
    name
        Its id.
    seed, number
        What happens to it.
    """

    def __init__(self, ground: Ground, name: str, seed: int, number: int) -> None:
        self.story = Story(number)
        self._ground = ground
        self._rng = random.Random(f"{seed}:{number}")
        self._run = name
        self._environment = ground.environment(self._run)
        self._mark = self._environment[processes.VARIABLE]
        self._told = ground.folder / f"{self._run}.step"
        self._kills_left = self._rng.randint(8, 20)
        self._outside: Outside | None = None
        self._stopped: psutil.Process | None = None
        #: Whether the driver that is accompanied had a rival which may hold the run by now.
        self._may_be_refused = False

    def go(self) -> Story:
        """Disturb the run until it has ended, and say how that went."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._end_all)
            if self._rng.random() < FROM_OUTSIDE:
                folder = self._ground.folder / f"{self._run}.cluster"
                self._outside = stack.enter_context(Outside(folder, self._environment))
            while not self._has_succeeded():
                driver = self._begun()
                if not self._accompanied(driver):
                    self.story.fault("stuck", f"it does not end; see {self._ground.folder}")
                    return self.story
        self._judge()
        return self.story

    # --- beginning --------------------------------------------------------------------------------

    def _begun(self) -> psutil.Popen:
        """Begin the run, or resume it."""
        self.story.beginnings += 1
        self._may_be_refused = False
        self._outlast_the_lease()
        if self._rng.random() < TWO:
            is_new = self._row() is None
            return self._winner(is_new, self._started({}), self._started({}))
        if self._rng.random() < AT_A_STEP and self._kills_left:
            nth = str(self._rng.randint(1, STEPS))
            return self._started({"CHAOS_POINT": nth, "CHAOS_TOLD": str(self._told)})
        return self._started({})

    def _started(self, variables: Mapping[str, str]) -> psutil.Popen:
        words = ["resume", self._run]
        if self._row() is None:
            words = ["run", self._ground.target, "--run-id", self._run]
        if self._outside is not None:
            self._outside.mend()
            words += ["--cluster", str(self._outside.file)]
        else:
            words += ["--workers", self._rng.choice("1112")]
        if not variables and self._rng.random() < DETACHED:
            words.append("--detach")
        with self._ground.log(self._run).open("ab") as log:
            return psutil.Popen(
                self._ground.command(*words),
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._ground.folder,
                start_new_session=True,
            )

    def _winner(self, is_new: bool, *rivals: psutil.Popen) -> psutil.Popen:
        """Of two drivers that want the run, wait until one has been refused; return the other."""
        deadline = time.monotonic() + PATIENCE_S
        while all(rival.poll() is None for rival in rivals):
            if time.monotonic() > deadline:
                self.story.fault("stuck", "two drivers want the run, and none is refused")
                break
            with contextlib.suppress(psutil.TimeoutExpired):
                rivals[0].wait(0.05)
        loser, winner = sorted(rivals, key=lambda rival: rival.poll() is None)
        # Where both wanted to create the run, one is refused for that; and one may have come to the
        # end before the other has begun.
        if loser.poll() not in (0, _HELD, _NOTHING_WAS_RUN if is_new else _HELD):
            self.story.fault("refused", f"of two drivers, one has ended with {loser.poll()}")
        # What has ended so early, and well, has handed the run to a process of its own.
        self._may_be_refused = loser.poll() == 0
        return winner

    def _outlast_the_lease(self) -> None:
        """Wait until a stopped driver's lease has run out; whoever resumes then ends it."""
        row = self._row()
        if self._stopped is not None and row is not None:
            time.sleep(max(0.0, row.lease_until - time.time() + 0.1))

    # --- going on ---------------------------------------------------------------------------------

    def _accompanied(self, driver: psutil.Popen) -> bool:
        """Disturb the run until its driver has ended; False if it does not."""
        before = self.story.kills.total()
        deadline = time.monotonic() + PATIENCE_S
        while self._drives(driver):
            if self._outside is not None:
                self._outside.mend()
            if self._kills_left:
                deadline = time.monotonic() + PATIENCE_S
                pause_s = self._rng.expovariate(1 / PAUSE_S)
                if not self._ended_within(driver, pause_s) and self._strike(driver):
                    return True
            elif not self._ended_within(driver, 1.0) and time.monotonic() > deadline:
                return False
        self._check_end(driver, before)
        return True

    def _drives(self, driver: psutil.Popen) -> bool:
        """Whether `driver` lives, or another process to which it has handed the run."""
        return driver.poll() is None or bool(self._drivers())

    def _drivers(self) -> list[psutil.Process]:
        found = processes.by_kind(self._mark).get("driver", [])
        return [driver for driver in found if driver != self._stopped]

    def _ended_within(self, driver: psutil.Popen, wait_s: float) -> bool:
        waited = [driver] if driver.poll() is None else self._drivers()
        return not psutil.wait_procs(waited, timeout=wait_s)[1]

    def _strike(self, driver: psutil.Popen) -> bool:
        """Kill a process of a kind that is chosen first, as soon as there is one.

        Returns
        -------
        bool
            Whether it was the driver, and has only been stopped.
        """
        (kind,) = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        delay_s = self._rng.uniform(0, MOMENT_S)
        victims = self._awaited(driver, kind)
        if not victims:
            return False
        victim = self._rng.choice(victims)
        self._ended_within(driver, delay_s)
        with contextlib.suppress(psutil.NoSuchProcess):
            if kind == "stopped driver":
                victim.send_signal(signal.SIGSTOP)
                self._stopped = victim
            else:
                victim.kill()
            self._killed(kind)
        return kind == "stopped driver"

    def _awaited(self, driver: psutil.Popen, kind: str) -> list[psutil.Process]:
        """Wait for processes of a kind; none if none come for long, or the driver has ended."""
        if kind == "scheduler" and self._outside is None:
            return []
        deadline = time.monotonic() + AWAITED_S
        while time.monotonic() < deadline:
            found = processes.by_kind(self._mark)
            if kind == "stopped driver":
                found[kind] = self._holders(found.get("driver", []))
            if victims := found.get(kind):
                return victims
            if self._ended_within(driver, LOOK_S):
                break
        return []

    def _killed(self, kind: str) -> None:
        self.story.kills[kind] += 1
        self._kills_left = max(0, self._kills_left - 1)

    def _holders(self, drivers: list[psutil.Process]) -> list[psutil.Process]:
        """Return the driver that holds the run, if it is there."""
        row = self._row()
        pid = row.holder.split(":")[1] if row is not None and row.holder else ""
        return [driver for driver in drivers if str(driver.pid) == pid]

    def _check_end(self, driver: psutil.Popen, before: int) -> None:
        code = driver.poll()
        if self._told.exists():
            self._told.unlink()
            self._killed("driver at a step")
        elif code == _NOTHING_WAS_RUN and self.story.kills.total() > before:
            # What it needed to begin was killed: its workers, or the process that it had detached.
            pass
        elif code in (_HELD, _NOTHING_WAS_RUN) and self._may_be_refused:
            pass  # by the rival's process
        elif code not in (*_ENDED, -signal.SIGKILL):
            self.story.fault("refused", f"its driver has ended with {code}")
        if self._stopped is not None and psutil.wait_procs([self._stopped], timeout=0)[0]:
            self._stopped = None

    # --- looking ----------------------------------------------------------------------------------

    def _row(self) -> RunRow | None:
        with self._ground.opened() as home:
            try:
                return home.journal.row(self._run)
            except UnknownRun:
                return None

    def _has_succeeded(self) -> bool:
        """Look at the run between two drivers, and decide what only people can decide."""
        if self._stopped is not None or self._row() is None:
            return False
        run = nbflow.attach(self._run, home=self._ground.home)
        try:
            decide_doubts(run, Marks.read(self._ground.marks(self._run)))
            return run.status == "succeeded"
        finally:
            run.close()

    def _judge(self) -> None:
        """Hold what is left of the run against what should be."""
        story, marks = self.story, Marks.read(self._ground.marks(self._run))
        with self._ground.opened() as home:
            records = list(home.journal.read(self._run))
            for text in differences(answer_of(machine.replay(records)), self._ground.answer):
                story.fault("wrong answer", text)
            for text in repetitions(records, marks):
                story.fault("repeated", text)
            for finding in verify(home.journal, home.store, [self._run]).findings:
                story.fault("damaged", str(finding))
            row = home.journal.row(self._run)
            # The lease of a driver that has ended before it gave it back keeps nobody out.
            if is_driven(row, time.time()):
                story.fault("left behind", f"{row.holder} still holds the run")
        if locks.is_open(self._ground.home / "journal.sqlite"):
            story.fault("left behind", "somebody has the journal open")

    def _end_all(self) -> None:
        """Wait for what is ending by itself, and end the rest, which should not be there."""
        psutil.wait_procs(processes.marked(self._mark), timeout=GRACE_S)
        # What has been found may have started others meanwhile.
        for process in processes.marked(self._mark):
            self.story.fault("left behind", processes.told(process))
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
