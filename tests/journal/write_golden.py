"""Write the golden journal of this version: a real run, and what its replay comes to.

    python tests/journal/write_golden.py

The journal is what this program writes, so it is made once for each version of the tables and
never again: later programs must read it as it is. The run fails, retries, loses a worker,
skips, takes a result from the cache, stores a checkpoint, has stages of cells, is
in doubt, is resumed, cancelled, and resumed with other code, so that every type of event is there.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import nbformat

import nbflow
from nbflow.core import machine
from nbflow.core.errors import RunCancelled, RunFailed
from nbflow.journal import SqlJournal
from nbflow.journal.schema import SCHEMA_VERSION

GOLDEN = Path(__file__).parent / "golden"


def replayed(journal: SqlJournal, run: str) -> dict[str, Any]:
    """Return what `run` replays to, as plain JSON: every field that this program knows."""
    records = list(journal.read(run))
    state = machine.replay(records)
    fields = {
        name: getattr(state, name)
        for name in state.__struct_fields__
        if name not in {"graph", "nodes"}
    }
    plain: dict[str, Any] = msgspec.to_builtins(
        {
            "events": [[record.epoch, record.type] for record in records],
            "flow": state.graph.spec,
            "run": fields,
            "nodes": dict(state.nodes),
        }
    )
    return plain


def flow_in(folder: Path, *, changed: bool = False) -> nbflow.Flow:  # noqa: C901 - its functions
    """Return a flow whose nodes end in every way; the file ``mended`` lets ``bad`` succeed."""
    flow = nbflow.Flow("golden", params={"size": 3}, base_dir=folder)

    def load(size: int) -> Any:
        return list(range(size))

    def load_in_another_way(size: int) -> Any:
        return [*range(size)]

    loaded = flow.task(
        load_in_another_way if changed else load, name="load", params={"size": flow.param("size")}
    )

    @flow.task
    def large(rows: Any = loaded["result"]) -> Any:
        return list(range(len(rows) * 5000))

    flow.notebook(folder / "report.ipynb", params={"rows": loaded["result"]}, outputs=["total"])
    flow.notebook(folder / "stages.ipynb", cells=True)
    flow.task(cached, cache=True)

    @flow.task(retries=nbflow.Retry(2, backoff=0.05))
    def flaky() -> None:
        if _first_time(folder / "flaky"):
            raise ValueError("the first time fails")

    @flow.task(after=[flaky, large])
    def dies() -> None:
        if _first_time(folder / "dies"):
            os._exit(1)

    @flow.task(after=[dies], effect="at_most_once")
    def once() -> str:
        os._exit(1)

    @flow.task(after=[once])
    def bad() -> None:
        if not (folder / "mended").exists():
            raise LookupError("not mended yet")

    @flow.task(after=[bad])
    def slow() -> None:
        (folder / "slow").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)

    @flow.task(after=[slow])
    def last() -> str:
        return "done"

    def _first_time(mark: Path) -> bool:
        is_first = not mark.exists()
        mark.touch()
        return is_first

    return flow


def cached() -> str:
    """Return what an earlier run has returned."""
    return "from the cache"


def write_notebooks(folder: Path) -> None:
    """Write a notebook with a checkpoint, and one whose cells can run side by side."""
    code = nbformat.v4.new_code_cell
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    report = [
        code("rows = []", metadata={"tags": ["parameters"]}),
        code("total = sum(rows)", metadata={"tags": ["checkpoint"]}),
        code("print(total)\ntotal"),
    ]
    # Two seconds each: what is expected to take no time is no stage of its own.
    wait = "import time\ntime.sleep(2)\n"
    stages = [code(wait + "left = 1"), code(wait + "right = 2"), code("left + right")]
    for name, cells in (("report", report), ("stages", stages)):
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / f"{name}.ipynb")


def lead(folder: Path) -> None:
    """Take the run through doubt, failure, cancellation and a change to its end."""
    home = folder / "home"
    write_notebooks(folder)
    before = nbflow.Flow("before", base_dir=folder)
    before.task(cached, cache=True)
    before.run(run_id="before", home=home, workers=1, progress=False).close()
    flow = flow_in(folder)
    try:
        flow.run(run_id="golden", home=home, workers=2, progress=False, output_dir=folder / "out")
    except RunCancelled as in_doubt:
        run = in_doubt.run
        assert isinstance(run, nbflow.Run)
    run.resolve("once", "succeeded")
    try:
        run.resume(workers=1, progress=False)
    except RunFailed:
        (folder / "mended").touch()
    run.resume(workers=1, wait=False)
    while not (folder / "slow").exists():
        time.sleep(0.01)
    run.cancel()
    try:
        run.join(progress=False)
    except RunCancelled:
        (folder / "go").touch()
    run.resume(flow=flow_in(folder, changed=True), workers=1, progress=False)
    run.close()


def write(target: Path) -> None:
    """Drive the run in this file's folder; copy its journal to `target`, its replay beside it."""
    folder = Path(__file__).parent
    # What is kept names neither this machine nor its folders.
    socket.gethostname = lambda: "golden"
    lead(folder)
    shutil.copy(folder / "home" / "journal.sqlite", target)
    with SqlJournal.open(folder / "home" / "journal.sqlite") as journal:
        text = json.dumps(replayed(journal, "golden"), indent=1, ensure_ascii=False)
    target.with_suffix(".json").write_text(text + "\n")


def main() -> None:
    """Write ``vN.sqlite`` and ``vN.json``, unless they are there."""
    target = GOLDEN / f"v{SCHEMA_VERSION}.sqlite"
    if target.exists():
        sys.exit(f"{target} is there already. It is never written again: see CONTRIBUTING.md")
    folder = Path(tempfile.gettempdir()) / "golden"
    folder.mkdir()
    try:
        # The flow remembers where it was written, so that is not here either.
        program = Path(shutil.copy(__file__, folder))
        subprocess.run([sys.executable, str(program), str(target)], check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:]:
        write(Path(sys.argv[1]))
    else:
        main()
