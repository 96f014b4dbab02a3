"""Workers that are told to end, as pods, services and jobs are, while a notebook runs on them."""

import os
import signal

import pytest
from watchpoint import until

import nbflow

SLOW = (
    "import os, pathlib, time\n"
    "with open('marks', 'a') as marks:\n"
    "    print(os.getpid(), file=marks)\n"
    "while not pathlib.Path('go').exists():\n"
    "    time.sleep(0.01)"
)


def begun(folder) -> list[int]:
    """Return the process ids of the kernels in which the notebook has begun."""
    marks = folder / "marks"
    return [int(pid) for pid in marks.read_text().split()] if marks.exists() else []


def types(run: nbflow.Run, node: str) -> list[str]:
    return [record.type for record in run[node].story]


@pytest.fixture
def slow(tmp_path, notebook) -> nbflow.Flow:
    """A flow of one notebook that waits until it may end."""
    flow = nbflow.Flow("slow", base_dir=tmp_path)
    flow.notebook(notebook("n.ipynb", SLOW), name="n")
    return flow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda it: it.name)
def test_a_notebook_is_lost_with_a_worker_that_ends(tmp_path, outside, slow, number) -> None:
    doomed = outside.add_worker()
    run = slow.start(cluster=outside.address)
    until(lambda: begun(tmp_path))
    outside.add_worker()
    os.killpg(doomed.pid, number)
    until(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "go").touch()

    assert run.wait(60) == "succeeded"
    assert types(run, "n").count("AttemptLost") == 1
    assert run["n"].attempts == 2
    doomed.wait(30)


def test_a_kernel_that_ends_with_its_worker_has_not_failed(tmp_path, outside, slow) -> None:
    # Whoever ends a control group asks all processes of it, in any order.
    doomed = outside.add_worker()
    run = slow.start(cluster=outside.address)
    until(lambda: begun(tmp_path))
    outside.add_worker()
    os.kill(begun(tmp_path)[0], signal.SIGTERM)
    doomed.terminate()
    until(lambda: len(begun(tmp_path)) == 2)
    (tmp_path / "go").touch()

    assert run.wait(60) == "succeeded"
    assert types(run, "n").count("AttemptLost") == 1


def test_what_runs_at_most_once_is_in_doubt_when_its_worker_ends(
    tmp_path, outside, notebook
) -> None:
    flow = nbflow.Flow("once", base_dir=tmp_path)
    flow.notebook(notebook("n.ipynb", SLOW), name="n", effect="at_most_once")
    doomed = outside.add_worker()
    run = flow.start(cluster=outside.address)
    until(lambda: begun(tmp_path))
    outside.add_worker()
    doomed.terminate()
    until(lambda: run["n"].status == "in_doubt")

    assert "AttemptFailed" not in types(run, "n")
    assert len(begun(tmp_path)) == 1
    run.interrupt()
    run.wait(60)
