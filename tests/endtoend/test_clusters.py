"""Runs on clusters that are not ours, and on workers that die."""

import os
import shutil
import signal

import pytest
from distributed import Client, LocalCluster
from watchpoint import until

import nbflow


def simple(tmp_path) -> nbflow.Flow:
    flow = nbflow.Flow("simple", base_dir=tmp_path / "flow")
    (tmp_path / "flow").mkdir(exist_ok=True)

    @flow.task
    def one():
        return list(range(10_000))

    @flow.task
    def total(x=one["result"]):
        return sum(x)

    return flow


def test_by_address_and_by_scheduler_file(tmp_path, outside) -> None:
    outside.add_worker()
    for where in (outside.address, outside.file, str(outside.file)):
        run = simple(tmp_path).run(cluster=where, progress=False)
        assert run["total"].outputs["result"] == sum(range(10_000))


def test_by_client_and_by_cluster_object(tmp_path) -> None:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        for where in (cluster, client):
            run = simple(tmp_path).run(cluster=where, progress=False)
            assert run["total"].outputs["result"] == sum(range(10_000))
        assert client.submit(sum, [1, 2]).result() == 3, "the user's client goes on working"


def test_workers_that_do_not_share_the_home(tmp_path, outside, notebook) -> None:
    # A worker sees the store only by its mark; one that finds another mark there is elsewhere.
    outside.add_worker(
        preamble=(
            "from nbflow.artifacts import FileStore\n"
            "FileStore.open_ref = classmethod(lambda cls, ref, **options: None)"
        )
    )
    notebook("double.ipynb", "twice = table * 2\nprint('doubled')", parameters="table = None")
    flow = nbflow.Flow("apart", base_dir=tmp_path)

    @flow.task
    def make():
        import pandas as pd

        return pd.DataFrame({"a": range(3)})

    double = flow.notebook("double.ipynb", params={"table": make["result"]})

    @flow.task
    def total(table=double["twice"]):
        return int(table.a.sum())

    run = flow.run(cluster=outside.address, output_dir=tmp_path / "out", progress=False)

    assert run["total"].outputs["result"] == 6
    assert "doubled" in (tmp_path / "out" / "double.ipynb").read_text()
    assert "doubled" in run["double"].logs


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.connecting.CONNECT_TIMEOUT_S", 1.0)
    with pytest.raises(nbflow.ClusterError, match=r"tcp://127.0.0.1:9 cannot be reached"):
        simple(tmp_path).run(cluster="tcp://127.0.0.1:9", progress=False)
    with pytest.raises(nbflow.ClusterError, match=r"'flow.yaml' is neither the address"):
        simple(tmp_path).run(cluster="flow.yaml", progress=False)
    with pytest.raises(nbflow.ClusterError, match=r"no scheduler file .*nowhere.json"):
        simple(tmp_path).run(cluster="nowhere.json", progress=False)


def test_a_cluster_without_workers(tmp_path, outside, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.connecting.FIRST_WORKER_TIMEOUT_S", 0.5)
    with pytest.raises(nbflow.ClusterError, match="has had no worker"):
        simple(tmp_path).run(cluster=outside.address, progress=False)


def test_a_worker_whose_environment_lacks_nbflow(tmp_path, outside) -> None:
    outside.add_worker(preamble="import sys; sys.modules['nbflow'] = None")
    with pytest.raises(nbflow.ClusterError, match=r"worker tcp://.* cannot run nbflow.*Install"):
        simple(tmp_path).run(cluster=outside.address, progress=False)


def test_a_scheduler_whose_environment_lacks_nbflow(tmp_path, ungoverned) -> None:
    ungoverned.start_scheduler(preamble="import sys; sys.modules['nbflow'] = None")
    ungoverned.add_worker()
    run = simple(tmp_path).run(cluster=ungoverned.address, progress=False)
    assert run["total"].outputs["result"] == sum(range(10_000))


def test_a_worker_with_another_version(tmp_path, outside) -> None:
    outside.add_worker(preamble="import nbflow._version as v; v.__version__ = '0.0.7'")
    with pytest.raises(nbflow.ClusterError, match=r"has nbflow 0\.0\.7, and this program"):
        simple(tmp_path).run(cluster=outside.address, progress=False)


def test_a_worker_whose_folder_was_swept_away(tmp_path, outside) -> None:
    folder = tmp_path / "swept"
    outside.add_worker(folder=folder)
    with Client(outside.address, set_as_default=False) as client:
        client.wait_for_workers(1)
        shutil.rmtree(folder)
    with pytest.raises(nbflow.ClusterError, match=r"cannot use its local directory .*Start it"):
        simple(tmp_path).run(cluster=outside.address, progress=False)


def one_that_kills_its_worker(tmp_path, times: int) -> nbflow.Flow:
    flow = nbflow.Flow("killer", base_dir=tmp_path)
    tries = tmp_path / "tries"

    @flow.task
    def node():
        with tries.open("a") as file:
            file.write("x")
        if len(tries.read_text()) <= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return len(tries.read_text())

    @flow.task
    def beside():
        return 1

    return flow


def test_a_node_survives_the_death_of_its_worker(tmp_path) -> None:
    run = one_that_kills_its_worker(tmp_path, 1).run(workers=2, progress=False)

    assert run["node"].outputs["result"] == 2
    assert "AttemptLost" in [record.type for record in run["node"].story]
    assert any("SIGKILL" in note for note in run.view().notes)


def test_a_node_that_kills_every_worker_fails_alone(tmp_path) -> None:
    with pytest.raises(nbflow.RunFailed, match="was lost") as failure:
        one_that_kills_its_worker(tmp_path, 99).run(workers=2, progress=False)

    run = failure.value.run
    assert run["node"].reason.kind == "worker_lost"
    assert run["beside"].status == "succeeded"


def test_a_worker_of_an_outside_cluster_dies(tmp_path, outside) -> None:
    doomed = outside.add_worker()
    flow = nbflow.Flow("moved", base_dir=tmp_path)
    go = tmp_path / "go"

    @flow.task
    async def node():
        import asyncio

        while not go.exists():
            await asyncio.sleep(0.01)
        return "done"

    run = flow.start(cluster=outside.address)
    until(lambda: run["node"].status == "running")
    outside.add_worker()
    doomed.kill()
    until(lambda: run["node"].attempts == 2)
    go.touch()

    assert run.wait(60) == "succeeded"
    types = [record.type for record in run["node"].story]
    assert types.count("AttemptSucceeded") == 1
    assert run["node"].attempts == 2
