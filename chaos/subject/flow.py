"""The flow that is disturbed: quick, and with every kind of node in it.

Each node marks in a file where it begins and ends, by itself and without nbflow: against those
marks the journal is held afterwards. The variable CHAOS_MARKS names the file; CHAOS_PACE is
what pauses are multiplied by, 0 for none.
"""

import os
import time

import nbflow

flow = nbflow.Flow(
    "chaos",
    defaults={"retries": nbflow.Retry(1000, backoff=0.01, max_backoff=0.05, jitter=0.0)},
)


def mark(node, what):
    """Append a line to the file of marks; one write of few bytes is never torn."""
    line = f"{time.time()!r} {node} {what}\n".encode()
    file = os.open(os.environ["CHAOS_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


def marks(node):
    """Return how often a node has begun."""
    with open(os.environ["CHAOS_MARKS"]) as file:
        return sum(line.split()[1:] == [node, "begins"] for line in file)


def pause(seconds):
    """Take a while."""
    time.sleep(seconds * float(os.environ.get("CHAOS_PACE", "1")))


@flow.task
def rows():
    """A large output: it becomes an artifact, and its attempt leaves a receipt."""
    mark("rows", "begins")
    pause(0.05)
    return [number * number for number in range(3_000)]


@flow.task(cache=True)
def scale():
    """What an earlier run has made already."""
    mark("scale", "begins")
    pause(0.05)
    return {"by": 3, "all": list(range(2_000))}


@flow.task
def shaky(rows=rows["result"]):
    """Fails the first time, whoever runs it."""
    mark("shaky", "begins")
    pause(0.05)
    if marks("shaky") == 1:
        raise OSError("not yet")
    return sum(rows) % 1_000


@flow.task(effect="at_most_once", retries=0)
def once(rows=rows["result"]):
    """An effect that must not be had twice."""
    mark("once", "begins")
    pause(0.1)
    mark("once", "ends")
    return f"paid {len(rows)}"


totals = flow.notebook(
    "totals.ipynb",
    params={"rows": rows["result"], "scale": scale["result"]},
    outputs=["total", "kept"],
)
model = flow.notebook("model.ipynb", params={"total": totals["total"]}, outputs=["weights"])


def part(number, weights):
    """One of several nodes that run beside each other."""
    mark(f"parts/{number}", "begins")
    pause(0.05 * number)
    return {"number": number, "part": weights[number] * number, "rest": list(range(2_000))}


parts = [
    flow.task(part, name=f"parts/{number}", params={"number": number, "weights": model["weights"]})
    for number in (1, 2, 3)
]


def link(number, before):
    """One of a chain, quick enough that it soon goes straight to a worker."""
    mark(f"links/{number}", "begins")
    pause(0.01)
    return before + number


links = [shaky]
for number in range(1, 8):
    given = {"number": number, "before": links[-1]["result"]}
    links.append(flow.task(link, name=f"links/{number}", params=given))

report = flow.notebook("report.ipynb", params={"shaky": shaky["result"]}, after=[*parts])


@flow.task(after=[report])
def answer(
    parts=[part["result"] for part in parts],
    once=once["result"],
    kept=totals["kept"],
    linked=links[-1]["result"],
):
    """What all of it was for."""
    mark("answer", "begins")
    pause(0.05)
    return f"{once}: {sum(part['part'] for part in parts)} of {sorted(kept)}, {linked}"
