"""Before there is a detached driver: what is refused, and what is told of one that cannot begin."""

import os
import signal
import stat
import sys
import threading
from pathlib import Path

import msgspec
import psutil
import pytest
from distributed import LocalCluster
from watchpoint import until

import nbflow
from nbflow.core import errors
from nbflow.core.errors import NbflowError, Problem
from nbflow.core.events import FlowChanged
from nbflow.core.resuming import Wish
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.values import Inline
from nbflow.driver import Resumption
from nbflow.session.detaching import Answer, Order


@pytest.fixture
def flow(tmp_path: Path) -> nbflow.Flow:
    flow = nbflow.Flow("detached", base_dir=tmp_path)
    flow.task(lambda: 1, name="one")
    return flow


def runs(folder: Path) -> list[str]:
    home = folder / ".nbflow"
    return [run.id for run in nbflow.runs(home=home)] if home.exists() else []


def test_a_faulty_flow_is_told_and_leaves_nothing(tmp_path, flow) -> None:
    flow.notebook("absent.ipynb")
    with pytest.raises(nbflow.DefinitionError, match=r"absent\.ipynb"):
        flow.start(detach=True)
    assert runs(tmp_path) == []


def test_a_flow_that_does_not_fit_the_embedded_cluster_is_told_without_one(tmp_path, flow) -> None:
    flow.task(lambda: 2, name="heavy", resources={"GPU": 1})
    with pytest.raises(nbflow.DefinitionError, match="needs GPU: 1"):
        flow.start(detach=True)
    assert runs(tmp_path) == []


def test_a_cluster_object_is_refused_with_its_address(tmp_path, flow) -> None:
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(nbflow.ClusterError, match=f"cluster='{address}'"):
            flow.start(detach=True, cluster=cluster)
    assert runs(tmp_path) == []


def test_a_cluster_that_cannot_be_reached_is_told_before_there_is_a_run(tmp_path, flow) -> None:
    with pytest.raises(nbflow.ClusterError, match="no scheduler file"):
        flow.start(detach=True, cluster=tmp_path / "absent.json")
    assert runs(tmp_path) == []


def test_nobody_hears_a_detached_run(flow) -> None:
    with pytest.raises(NbflowError, match="listen="):
        flow.start(detach=True, listen=lambda printed: None)


def python_that(folder: Path, script: str) -> str:
    """A program in the place of Python's."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no such module >&2; exit 1", "could not start"),
        # It leaves a process that ends without a word.
        ("echo out of memory >&2; echo 4000000; exit 0", "ended before it held the run"),
    ],
)
def test_a_driver_that_does_not_begin_is_told_with_the_end_of_its_log(
    tmp_path, flow, monkeypatch, script, words
) -> None:
    log = tmp_path / ".nbflow" / "runs" / "one" / "driver.log"
    log.parent.mkdir(parents=True)
    log.write_text("what an earlier driver said\n")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", python_that(tmp_path, script))
        with pytest.raises(NbflowError, match=words) as refusal:
            flow.start(detach=True, run_id="one")
    said = script.removeprefix("echo ").partition(" >&2")[0]
    assert f"{log}, ends with:\n    {said}" in str(refusal.value)
    run = nbflow.attach("one", home=tmp_path / ".nbflow")
    assert run.status == "interrupted", "it was created, and can be resumed"
    run.close()


def test_whoever_interrupts_the_start_means_the_driver_too(tmp_path, flow, monkeypatch) -> None:
    left = "sleep 600 >/dev/null 2>&1 &"
    main = threading.main_thread().ident
    pids = []

    def is_waiting() -> bool:
        return sys._current_frames()[main].f_code.co_name == "_detach"

    def interrupt() -> None:
        until((tmp_path / "left").exists)
        until(is_waiting)
        pids.append(int((tmp_path / "left").read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with monkeypatch.context() as patched:
        script = f"{left}\necho $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/left; echo $!"
        patched.setattr(sys, "executable", python_that(tmp_path, script))
        with pytest.raises(KeyboardInterrupt):
            flow.start(detach=True, run_id="one")
    interrupter.join()
    (pid,) = pids
    until(lambda: not is_alive(pid), timeout_s=10)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "error",
    [
        errors.RunHeld("run r is held by vm:1"),
        errors.ClusterError("no worker"),
        errors.DefinitionError([Problem("flow.yaml:3", "it needs GPU: 1", "Offer it", "train")]),
    ],
)
def test_what_keeps_a_driver_from_its_run_reaches_the_caller_as_it_is(error) -> None:
    sent = msgspec.json.encode(Answer.refusing(error))
    with pytest.raises(type(error)) as received:
        msgspec.json.decode(sent, type=Answer).raise_error()
    assert str(received.value) == str(error)
    assert received.value.exit_code == error.exit_code


def test_an_answer_without_an_error_raises_nothing() -> None:
    msgspec.json.decode(msgspec.json.encode(Answer()), type=Answer).raise_error()


@pytest.mark.parametrize(
    "cluster", [nbflow.Embedded(workers=2, resources={"GPU": 1.0}), "tcp://10.0.0.5:8786"]
)
def test_an_order_survives_its_way(cluster) -> None:
    spec = FlowSpec(name="f", nodes=(NodeSpec(name="a", code=FunctionCode("f", "sha256:0")),))
    change = FlowChanged(spec, {"x": Inline(1)}, ("node a: its code has changed",))
    order = Order(cluster, Resumption(change, Wish(begin_at=("a",))))
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order
