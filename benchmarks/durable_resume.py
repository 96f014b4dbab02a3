"""A run that has all but ended, and its resume, each in a fresh process.

``python -m benchmarks.durable_resume record SHAPE COUNT FOLDER``, then ``resume FOLDER``, which
prints one line of JSON: [what, CPU seconds, elapsed seconds] of this process, for the resume up to
the moment when its first attempt is in the journal, and for the whole process up to then.
"""

import asyncio
import sys
import time
from pathlib import Path

import msgspec

_FLOW = """
import nbflow

flow = nbflow.Flow("bench")


def noop(*_):
    return 0


LAYERS = 50
COUNT = {count}
SOURCES = {{
    "chain": lambda number: [number - 1] if number else [],
    "fan": lambda number: [0] if number else [],
    "layers": lambda number: (
        [number - LAYERS, number - number % LAYERS - 1] if number >= LAYERS else []
    ),
}}
nodes = []
for number in range(COUNT - 1):
    after = [nodes[source] for source in SOURCES["{shape}"](number)]
    nodes.append(flow.task(noop, name=f"n{{number}}", after=after))
flow.task(noop, name="last", after=nodes[-LAYERS:])
"""


def record(shape: str, count: str, where: str) -> None:
    """Drive a flow until only its last node is left, which is under way when its driver ends."""
    from benchmarks.durable_runs import claimed, driven
    from nbflow.core.attempts import AttemptTask
    from nbflow.core.values import Value
    from nbflow.definition.builder import FlowBuilder
    from nbflow.definition.targets import load_target
    from nbflow.session.home import Home
    from nbflow.testing import FakeCluster
    from nbflow.testing.cluster import succeed

    folder = Path(where)
    folder.mkdir(exist_ok=True)
    (folder / "flow.py").write_text(_FLOW.format(shape=shape, count=int(count)))
    flow = load_target(f"{folder}/flow.py:flow", flow_class=FlowBuilder, base_dir=folder)
    home = Home.open(folder / "home")
    held = claimed(home, flow, "run")

    async def drive() -> None:
        reached = asyncio.Event()

        async def behaviour(task: AttemptTask) -> dict[str, Value]:
            if task.id.node == "last":
                reached.set()
                await asyncio.Event().wait()
            return await succeed(task)

        cluster = FakeCluster(behaviour, clock=time.time)
        driving = asyncio.create_task(driven(home, held, cluster))
        await reached.wait()
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)

    asyncio.run(drive())
    home.close()


def resume(where: str) -> None:
    """Resume it, and say what that has cost up to the record of the first attempt."""
    import nbflow
    from nbflow.core.events import AttemptScheduled
    from nbflow.journal import SqlJournal
    from nbflow.session import run as _  # noqa: F401 - loading is a cost of the process

    append = SqlJournal.append
    at: list[tuple[float, float]] = []

    def appended(journal, run, epoch, records):
        append(journal, run, epoch, records)
        if any(isinstance(each.event, AttemptScheduled) for each in records):
            at.append((time.process_time(), time.perf_counter()))

    SqlJournal.append = appended  # type: ignore[method-assign]
    before = time.process_time(), time.perf_counter()
    again = nbflow.attach("run", home=f"{where}/home")
    again.resume(progress=False)
    assert again.status == "succeeded"
    [(cpu_s, now_s)] = at
    costs = [
        ("from `attach` to the first attempt", cpu_s - before[0], now_s - before[1]),
        ("the same, with all that is loaded for it", cpu_s, now_s - _BEGAN_S),
    ]
    print(msgspec.json.encode(costs).decode())


_BEGAN_S = time.perf_counter()

if __name__ == "__main__":
    {"record": record, "resume": resume}[sys.argv[1]](*sys.argv[2:])
