"""Ways to do N steps that do nothing, durably, each in a fresh process.

``python -m benchmarks.durable_programs NAME SHAPE COUNT FOLDER`` prints one line of JSON: what the
steps cost from the moment when the first may begin, to the moment when the last is durable. What
only the start of a program needs does not count: imports, tables, workers.

A *chain* has one step at a time, each waits for the one before; a *fan* has `IN_FLIGHT` of
them at a time. The same is asked of everybody, and done where each does it by default: DBOS runs
steps in the process that calls them, nbflow in worker processes (`nbflow`), or, to see
what journal and driver cost by themselves, nowhere (`engine`: the cluster is a fake
one, whose attempts succeed at once).
"""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from benchmarks.programs import cpu_s

Shape: TypeAlias = Literal["chain", "fan"]

#: Steps of a fan that are begun and not yet ended.
IN_FLIGHT = 64

#: The facts that any engine has to record of a step: that it is to run, that it runs, how it ended.
EVENTS = 3
#: About what such a fact takes.
_EVENT_BYTES = 200


class Spent(msgspec.Struct, frozen=True):
    """What the steps have cost; `stored_bytes` is all that is left on the disk."""

    wall_s: float
    cpu_s: float
    stored_bytes: int = 0


@contextmanager
def measured(folder: Path, *processes: int) -> Iterator[list[Spent]]:
    """Measure the body: this process, and others that live through it. Gives a list to be filled.

    The beginning and the end leave a mark in the trace of system calls (see `durable_syncs`).
    """
    spent: list[Spent] = []
    mark(folder, "begin")
    before_s, began_s = _cpu_s(processes), time.perf_counter()
    yield spent
    wall_s, used_s = time.perf_counter() - began_s, _cpu_s(processes) - before_s
    mark(folder, "end")
    spent.append(Spent(wall_s, used_s))


def mark(folder: Path, name: str) -> None:
    """Sync a file of that name."""
    with (folder / name).open("wb") as file:
        os.fsync(file.fileno())


def floor(shape: Shape, count: int, folder: Path) -> Spent:
    """Commit every fact by itself to plain SQLite, with nothing around it.

    SQLite has one writer, so that a fan has nothing to gain here.
    """
    del shape
    connection = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL, body BLOB)")
    body = b"x" * _EVENT_BYTES
    with measured(folder) as spent:
        for seq in range(count * EVENTS):
            connection.execute("INSERT INTO events VALUES (?, ?, ?)", (seq, time.time(), body))
    connection.close()
    return spent[0]


def dbos(shape: Shape, count: int, folder: Path) -> Spent:
    """Run the steps of one DBOS workflow, on its embedded default: an SQLite file."""
    from dbos import DBOS

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.step()
    async def concurrent_step(number: int) -> int:
        return number

    @DBOS.workflow()
    def chain(count: int) -> None:
        for number in range(count):
            step(number)

    @DBOS.workflow()
    async def fan(count: int) -> None:
        for first in range(0, count, IN_FLIGHT):
            some = range(first, min(first + IN_FLIGHT, count))
            await asyncio.gather(*[concurrent_step(number) for number in some])

    os.chdir(folder)
    DBOS(config={"name": "bench", "log_level": "WARNING", "console_log_level": "WARNING"})
    DBOS.launch()
    chain(1)
    asyncio.run(fan(1))
    with measured(folder) as spent:
        if shape == "chain":
            chain(count)
        else:
            asyncio.run(fan(count))
    DBOS.destroy()
    return spent[0]


def noop(*_: object) -> int:
    """Do nothing."""
    return 0


def opened(folder: str) -> None:
    """Say that all is there, and wait for leave to go on: a gate, as a node."""
    Path(folder, f"reached-{os.getpid()}").touch()
    while not Path(folder, "open").exists():
        time.sleep(0.002)


def nbflow(shape: Shape, count: int, folder: Path) -> Spent:
    """Run the nodes of a flow on the embedded cluster.

    Two nodes that wait stand before and behind them, so that workers are up when the first may
    begin, and still up when the last has ended.
    """
    import psutil

    from nbflow import Flow

    flow = Flow("bench", max_concurrent=IN_FLIGHT)
    first = flow.task(opened, params={"folder": _made(folder / "first")}, name="first")
    nodes = [first]
    for number in range(count):
        after = nodes[-1:] if shape == "chain" else [first]
        nodes.append(flow.task(noop, name=f"n{number}", after=after))
    last = {"folder": _made(folder / "last")}
    flow.task(opened, params=last, name="last", after=nodes[1:])
    run = flow.start(home=folder / "home")
    _reached(folder / "first")
    _quiet(psutil.Process())
    children = [child.pid for child in psutil.Process().children(recursive=True)]
    with measured(folder, *children) as spent:
        (folder / "first" / "open").touch()
        _reached(folder / "last")
    (folder / "last" / "open").touch()
    assert run.wait() == "succeeded", run
    run.close()
    return spent[0]


def engine(shape: Shape, count: int, folder: Path) -> Spent:
    """Drive a run whose attempts succeed at once, in this very process: journal and driver."""
    from benchmarks.durable_runs import claimed, driven
    from nbflow.definition.builder import FlowBuilder
    from nbflow.session.home import Home
    from nbflow.testing import FakeCluster

    flow = FlowBuilder("bench", max_concurrent=IN_FLIGHT)
    nodes: list = []
    for number in range(count):
        after = nodes[-1:] if shape == "chain" else []
        nodes.append(flow.task(noop, name=f"n{number}", after=after))
    home = Home.open(folder / "home")
    held = claimed(home, flow, "run")
    with measured(folder) as spent:
        run = asyncio.run(driven(home, held, FakeCluster(clock=time.time)))
    assert run.status == "succeeded", run.status
    home.close()
    return spent[0]


def _made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def _reached(folder: Path) -> None:
    """Wait until a gate has been reached; seldom enough to take nothing from who is measured."""
    while not any(folder.glob("reached-*")):
        time.sleep(0.01)


def _quiet(process: "psutil.Process") -> None:  # noqa: F821 - imported where it is needed
    """Wait until nobody works any more: late workers have started as well."""
    still = 0
    while still < 3:
        pids = [child.pid for child in process.children(recursive=True)]
        before_s = _cpu_s(pids)
        time.sleep(0.3)
        still = still + 1 if _cpu_s(pids) - before_s < 0.05 else 0


def _cpu_s(pids: "Iterator[int] | tuple[int, ...] | list[int]") -> float:
    return time.process_time() + sum(cpu_s(pid) for pid in pids)


PROGRAMS = {program.__name__: program for program in (floor, dbos, nbflow, engine)}


def main() -> None:
    name, shape, count, where = sys.argv[1:]
    folder = Path(where)
    spent = PROGRAMS[name](shape, int(count), folder)  # type: ignore[operator]
    stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(msgspec.json.encode(msgspec.structs.replace(spent, stored_bytes=stored)).decode())


if __name__ == "__main__":
    main()
