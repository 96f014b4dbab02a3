"""The thread of one run, on a cluster of its own."""

import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from distributed import LocalCluster
from stored_runs import StoredRun
from watchpoint import until

from nbflow.cluster import Embedded
from nbflow.cluster.connecting import FIRST_WORKER_TIMEOUT_S
from nbflow.session import claiming
from nbflow.session.home import Home
from nbflow.session.launch import Launch


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


def test_who_fails_before_its_driver_is_made_gives_the_run_back(home, monkeypatch) -> None:
    stored = StoredRun(home, "run")
    home.journal.release("run", stored.epoch)
    held = claiming.claim(home, "run", time.time)
    launch = Launch(Embedded(workers=1, threads=1))
    launch.survey(home)

    def nowhere(run):
        raise OSError("nothing can be read")

    monkeypatch.setattr(home, "runs_folder", nowhere)
    launch.go(held)
    with pytest.raises(OSError, match="nothing can be read"):
        launch.done.result(60)
    assert home.journal.row("run").holder == ""
    assert launch.join(60)


def test_who_gives_up_does_not_wait_for_a_first_worker(home) -> None:
    with (
        LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", protocol="tcp"
        ) as cluster,
        ThreadPoolExecutor(1) as pool,
    ):
        launch = Launch(cluster)
        surveying = pool.submit(launch.survey, home)
        until(lambda: "nbflow-first-worker" in str(cluster.scheduler.tasks))
        began = time.monotonic()
        launch.abort()
        assert time.monotonic() - began < FIRST_WORKER_TIMEOUT_S / 4
        with pytest.raises(CancelledError):
            surveying.result(1)
