"""``python -m chaos --kills 1000 --seed 7``: kill as often, and say what was lost.

Several runs go on at once, each in a folder of its own. The last line of standard output has the
figures. The exit code is 1 if anything was wrong; then the file ``chaos-failures.json`` says
what, and how to have the same again, and the folders are kept.
"""

import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, repeat
from pathlib import Path

import click
import msgspec

from chaos.disturbing import Disturbed, Fault, Ground, Story

#: Where faults are told.
FAILURES = Path("chaos-failures.json")


class Failure(msgspec.Struct, frozen=True):
    """A run in which something was wrong."""

    seed: int
    run: int
    again: str
    folder: str
    faults: list[Fault]


class Chaos:
    """Disturbs runs until there have been enough kills, or the time is over.

    Parameters
    ----------
    seed
        What happens.
    kills
        How many there should be, at least.
    until
        When to begin no more runs, in seconds of `time.monotonic`; None for no end.
    numbers
        Of the runs.
    """

    def __init__(self, seed: int, kills: int, until: float | None, numbers: Iterator[int]) -> None:
        self.seed = seed
        self._wanted = kills
        self._until = until
        self._numbers = numbers
        self._lock = threading.Lock()
        self.stories: list[Story] = []
        self.failures: list[Failure] = []

    @property
    def kills(self) -> Counter[str]:
        """How often each victim was killed."""
        return sum((story.kills for story in self.stories), Counter())

    @property
    def faults(self) -> Counter[str]:
        """How often each kind of fault was found."""
        return Counter(fault.what for story in self.stories for fault in story.faults)

    def go_on(self, folder: Path) -> None:
        """Disturb one run after the other in `folder`."""
        ground = Ground(folder)
        ground.learn()
        for turn in count():
            number = self._next()
            if number is None:
                return
            began = time.monotonic()
            story = _disturbed(Disturbed(ground, f"run{number}-{turn}", self.seed, number))
            with self._lock:
                self.stories.append(story)
                if story.faults:
                    again = f"python -m chaos --seed {self.seed} --run {number} --kills 50"
                    self.failures.append(
                        Failure(self.seed, number, again, str(folder), story.faults)
                    )
                took_s = time.monotonic() - began
                print(
                    f"run {number}: {story.kills.total()} kills, {story.beginnings} drivers, "
                    f"{took_s:.0f} s; {self.kills.total()} kills in all",
                    *(f"\n  {fault.what}: {fault.text[:1000]}" for fault in story.faults),
                    file=sys.stderr,
                    flush=True,
                )

    def _next(self) -> int | None:
        with self._lock:
            over = self._until is not None and time.monotonic() > self._until
            if over or self.kills.total() >= self._wanted:
                return None
            return next(self._numbers)


def _disturbed(disturbed: Disturbed) -> Story:
    try:
        return disturbed.go()
    except Exception:  # noqa: BLE001 - it is told with all other faults
        disturbed.story.fault("refused", traceback.format_exc())
        return disturbed.story


@click.command()
@click.option("--kills", default=1000, show_default=True, help="How many, at least.")
@click.option("--seed", type=int, help="What happens. By default, something new.")
@click.option("--minutes", type=float, help="Begin no more runs after so long.")
@click.option("--lanes", default=3, show_default=True, help="How many runs go on at once.")
@click.option("--run", type=int, help="Only this run of the seed, again and again.")
def main(kills: int, seed: int | None, minutes: float | None, lanes: int, run: int | None) -> None:
    """Kill processes of runs until enough have been killed, and say what was lost."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    began = time.monotonic()
    until = None if minutes is None else began + 60 * minutes
    chaos = Chaos(seed, kills, until, count() if run is None else repeat(run))
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, in {folder}", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(lanes) as executor:
        for lane in [executor.submit(chaos.go_on, folder / str(n)) for n in range(lanes)]:
            lane.result()
    print(summary(chaos, time.monotonic() - began))
    if chaos.failures:
        FAILURES.write_bytes(msgspec.json.format(msgspec.json.encode(chaos.failures)))
        print(f"see {FAILURES}, and {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)


def summary(chaos: Chaos, took_s: float) -> str:
    """Return the figures in one line."""
    kills, faults = chaos.kills, chaos.faults
    by_victim = ", ".join(f"{victim} {number}" for victim, number in kills.most_common())
    others = faults["damaged"] + faults["stuck"] + faults["refused"]
    drivers = sum(story.beginnings for story in chaos.stories)
    return (
        f"{kills.total()} kills ({by_victim}); {len(chaos.stories)} runs by {drivers} drivers; "
        f"{faults['repeated']} repetitions of what was recorded, "
        f"{faults['wrong answer']} wrong answers, {faults['left behind']} left behind, "
        f"{others} other faults; seed {chaos.seed}, {took_s:.0f} s"
    )


if __name__ == "__main__":
    main()
