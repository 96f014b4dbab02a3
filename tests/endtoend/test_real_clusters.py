"""Clusters as teams have them: workers come and go, schedulers restart, lines are encrypted."""

import logging
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import dask
import pytest
from counted_flow import CountedFlow
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed import Client, LocalCluster
from distributed.security import Security
from peaks import peak_bytes
from watchpoint import until

import nbflow

#: What a worker runs first that is on a machine without the run's home.
WITHOUT_STORE = (
    "from nbflow.artifacts import FileStore\n"
    "FileStore.open_ref = classmethod(lambda cls, ref, **options: None)"
)


def notes(run: nbflow.Run) -> str:
    return "\n".join(run.view().notes)


@pytest.fixture
def counted(tmp_path) -> CountedFlow:
    return CountedFlow(tmp_path)


# --- workers come and go --------------------------------------------------------------------------


def test_a_run_that_finds_no_worker_says_so_and_waits(tmp_path, outside, counted, caplog) -> None:
    class StartAWorker(logging.Handler):
        def emit(self, record):
            outside.add_worker()

    logger = logging.getLogger("nbflow.cluster.connecting")
    handler = StartAWorker()
    logger.addHandler(handler)
    counted.let_go()
    try:
        run = counted.flow.run(cluster=outside.address, progress=False)
    finally:
        logger.removeHandler(handler)

    counted.check(run)
    assert "has no worker yet. Waiting for one" in caplog.text


@pytest.mark.parametrize("preamble", ["", WITHOUT_STORE], ids=["shared", "apart"])
def test_a_worker_is_retired_while_its_node_runs(outside, counted, preamble) -> None:
    outside.add_worker(preamble=preamble)
    run = counted.flow.start(cluster=outside.address)
    until(lambda: counted.beginnings("slow") == 1)
    outside.add_worker(preamble=preamble)
    with Client(outside.address, set_as_default=False) as admin:
        admin.wait_for_workers(2)
        (busy,) = [worker for worker, tasks in admin.processing().items() if tasks]
        admin.retire_workers([busy], close_workers=True)
    until(lambda: counted.beginnings("slow") == 2)
    counted.let_go()

    assert run.wait(60) == "succeeded"
    counted.check(run, attempts=2)
    assert [record.type for record in run["slow"].story].count("AttemptLost") == 1


def test_a_node_that_ends_its_worker_at_once_is_not_run_again_unseen(tmp_path, outside) -> None:
    # The announcement dies with the worker; by default Dask would run the task three times more.
    outside.add_worker()
    outside.add_worker()
    marks = tmp_path / "marks"
    flow = nbflow.Flow("abrupt", base_dir=tmp_path)

    @flow.task
    def abrupt():
        with marks.open("a") as file:
            file.write("x")
        if len(marks.read_text()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    run = flow.run(cluster=outside.address, progress=False)

    assert run["abrupt"].outputs["result"] == "alive"
    assert run["abrupt"].attempts == len(marks.read_text()) == 2


@pytest.mark.parametrize("is_ours", [True, False], ids=["embedded", "outside"])
def test_a_result_that_dies_with_its_worker_is_not_computed_again(
    tmp_path, ungoverned, monkeypatch, is_ours
) -> None:
    # Dask wants it still: it is recorded, but the future has not been released.
    monkeypatch.setattr("nbflow.cluster.dask_cluster.RELEASE_EVERY_S", 600.0)
    marks, go = tmp_path / "marks", tmp_path / "go"
    flow = nbflow.Flow("kept", base_dir=tmp_path)

    @flow.task
    def first():
        with marks.open("a") as file:
            file.write("x")
        return os.getpid()

    @flow.task
    def second(pid=first["result"]):
        while not go.exists():
            time.sleep(0.01)
        return pid

    if is_ours:
        target = nbflow.Embedded(workers=1, threads=1)
    else:
        ungoverned.start_scheduler()
        ungoverned.add_worker()
        target = ungoverned.address
    run = flow.start(cluster=target)
    until(lambda: run["second"].status == "running")
    if not is_ours:
        ungoverned.add_worker()
        with Client(target, set_as_default=False) as admin:
            admin.wait_for_workers(2)
    os.kill(run["first"].outputs["result"], signal.SIGKILL)
    until(lambda: run["second"].attempts == 2)
    go.touch()

    assert run.wait(60) == "succeeded"
    assert run["first"].attempts == len(marks.read_text()) == 1


def test_what_is_stolen_begins_once(tmp_path, ungoverned) -> None:
    ungoverned.env = {"DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING_INTERVAL": "20ms"}
    ungoverned.start_scheduler()
    ungoverned.add_worker("--nthreads", "1")
    marks, go = tmp_path / "marks", tmp_path / "go"
    flow = nbflow.Flow("stolen", base_dir=tmp_path)

    def work(number):
        with marks.open("a") as file:
            file.write(f"{number}\n")
        while not go.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        return number

    for number in range(40):
        flow.task(work, name=f"n{number}", params={"number": number})
    run = flow.start(cluster=ungoverned.address)
    until(marks.exists)
    ungoverned.add_worker("--nthreads", "1")
    # What the first worker has queued can only be begun by the other one now.
    until(lambda: len(marks.read_text().split()) == 2)
    go.touch()

    assert run.wait(60) == "succeeded"
    assert sorted(marks.read_text().split()) == sorted(str(number) for number in range(40))
    assert {run[f"n{number}"].attempts for number in range(40)} == {1}
    assert {run[f"n{number}"].outputs["result"] for number in range(40)} == set(range(40))
    names = [f"n{number}" for number in range(40)]
    started = [each for name in names for each in run[name].story if each.type == "AttemptStarted"]
    assert len(started) == 40
    assert len({each.event.worker for each in started}) == 2, "none was stolen"


def test_an_adaptive_cluster_grows_for_a_run_and_shrinks_under_it(tmp_path, counted) -> None:
    with LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="100ms", wait_count=2)
        run = counted.flow.start(cluster=cluster)
        until(lambda: counted.beginnings("slow") == 1)
        cluster.scale(0)
        until(lambda: not cluster.scheduler.workers)
        cluster.scale(1)
        until(lambda: counted.beginnings("slow") == 2)
        counted.let_go()
        assert run.wait(60) == "succeeded"
    counted.check(run, attempts=2)


@pytest.mark.parametrize(
    ("preamble", "why"),
    [
        (WITHOUT_STORE, "does not see the store"),
        ("import nbflow._version as v; v.__version__ = '0.0.7'", "has nbflow 0.0.7"),
        ("import sys; sys.modules['nbflow'] = None", "cannot run nbflow"),
    ],
)
def test_a_worker_of_no_use_joins_late(tmp_path, outside, preamble, why) -> None:
    outside.add_worker("--nthreads", "1")
    marks, go = tmp_path / "marks", tmp_path / "go"
    flow = nbflow.Flow("late", base_dir=tmp_path)

    @flow.task
    def gate():
        while not go.exists():
            time.sleep(0.01)
        return 1

    def work(one):
        with marks.open("a") as file:
            file.write("x")
        return one

    names = [f"n{number}" for number in range(4)]
    for name in names:
        flow.task(work, name=name, params={"one": gate["result"]})
    run = flow.start(cluster=outside.address)
    until(lambda: run["gate"].status == "running")
    late = outside.add_worker(preamble=preamble)
    with Client(outside.address, set_as_default=False) as admin:
        admin.wait_for_workers(2)
        go.touch()
        assert run.wait(60) == "succeeded"

    assert [run[name].attempts for name in names] == [1] * 4
    assert marks.read_text() == "xxxx"
    assert why in notes(run)
    assert late.poll() is None, "it is somebody's worker, and goes on"


def test_while_only_a_worker_of_no_use_is_there_one_that_can_is_waited_for(
    outside, counted
) -> None:
    fit = outside.add_worker()
    run = counted.flow.start(cluster=outside.address)
    until(lambda: counted.beginnings("slow") == 1)
    outside.add_worker(preamble=WITHOUT_STORE)
    with Client(outside.address, set_as_default=False) as admin:
        admin.wait_for_workers(2)
        fit.kill()
        until(lambda: "does not see the store" in notes(run) and "Waiting for one" in notes(run))
        outside.add_worker()
        until(lambda: counted.beginnings("slow") == 2)
        counted.let_go()
        assert run.wait(60) == "succeeded"

    counted.check(run, attempts=2)


def test_after_a_refusal_resources_are_waited_for_as_before(tmp_path, outside) -> None:
    outside.add_worker("--nthreads", "1")
    go = tmp_path / "go"
    flow = nbflow.Flow("late", base_dir=tmp_path)

    @flow.task
    def gate():
        while not go.exists():
            time.sleep(0.01)

    for number in range(4):
        flow.task(os.getpid, name=f"n{number}", after=[gate])
    heavy = flow.task(os.getpid, name="heavy", after=["n0", "n1", "n2", "n3"], resources={"G": 1})
    run = flow.start(cluster=outside.address)
    until(lambda: run["gate"].status == "running")
    outside.add_worker(preamble=WITHOUT_STORE)
    with Client(outside.address, set_as_default=False) as admin:
        admin.wait_for_workers(2)
        go.touch()
        until(lambda: run[heavy.name].status == "queued")
        assert "does not see the store" in notes(run)
        able = outside.add_worker("--resources", "G=1")
        assert run.wait(60) == "succeeded"

    assert run[heavy.name].outputs["result"] == able.pid


# --- workers without the store --------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheduler", ["", "import sys; sys.modules['nbflow'] = None"], ids=["known", "unknown"]
)
def test_large_values_travel_without_heaps_of_copies(
    tmp_path, ungoverned, scheduler, recwarn
) -> None:
    ungoverned.start_scheduler(preamble=scheduler)
    ungoverned.add_worker(preamble=WITHOUT_STORE)
    size_bytes = 16 << 20
    flow = nbflow.Flow("large", base_dir=tmp_path)

    @flow.task
    def make():
        return os.urandom(size_bytes)

    def use(made):
        return len(made)

    names = [f"use{number}" for number in range(6)]
    for name in names:
        flow.task(use, name=name, params={"made": make["result"]})
    runs: list[nbflow.Run] = []
    peak = peak_bytes(lambda: runs.append(flow.run(cluster=ungoverned.address, progress=False)))

    assert [runs[0][name].outputs["result"] for name in names] == [size_bytes] * 6
    assert peak < 4 * size_bytes
    assert not [each for each in recwarn if "large graph" in str(each.message)]


# --- the scheduler restarts -----------------------------------------------------------------------


def restarted(outside, scheduler, counted, run):
    port = int(outside.address.rpartition(":")[2])
    scheduler.kill()
    scheduler.wait()
    until(lambda: "is lost; trying again for" in notes(run))
    outside.start_scheduler(port=port)


def test_a_scheduler_that_restarts(ungoverned, counted) -> None:
    scheduler = ungoverned.start_scheduler()
    ungoverned.add_worker()
    run = counted.flow.start(cluster=ungoverned.address)
    until(lambda: run["slow"].status == "running")
    restarted(ungoverned, scheduler, counted, run)
    # Dask's workers end with their scheduler, those with a nanny too.
    ungoverned.add_worker()
    until(lambda: counted.beginnings("slow") == 2)
    counted.let_go()

    assert run.wait(60) == "succeeded"
    counted.check(run, attempts=2)
    assert "connected to the scheduler again" in notes(run)
    lost = [record.event for record in run["slow"].story if record.type == "AttemptLost"]
    assert [event.reason.kind for event in lost] == ["scheduler_lost"]


def test_a_scheduler_that_does_not_come_back(ungoverned, counted, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.link.RESTORE_S", 1.0)
    scheduler = ungoverned.start_scheduler()
    ungoverned.add_worker()
    run = counted.flow.start(cluster=ungoverned.address)
    until(lambda: run["slow"].status == "running")
    scheduler.kill()
    with pytest.raises(nbflow.ClusterError, match=r"was lost, and not back in 1 s"):
        run.wait(60)

    counted.let_go()
    run.resume(workers=1)
    assert run.wait(60) == "succeeded"
    counted.check(run, attempts=2)


# --- encryption -----------------------------------------------------------------------------------


class Authority:
    """Makes certificates, as whoever runs a cluster does."""

    def __init__(self, folder) -> None:
        self._folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        own = self._sign(self._name, self._key, authority=True)
        self.ca_file = self._write("ca.pem", own.public_bytes(serialization.Encoding.PEM))
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dask")])
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + self._sign(name, key).public_bytes(serialization.Encoding.PEM)
        self.cert = self._write("dask.pem", pem)

    def options(self) -> list[str]:
        return ["--tls-ca-file", self.ca_file, "--tls-cert", self.cert, "--protocol", "tls"]

    def security(self) -> Security:
        return Security(
            tls_ca_file=self.ca_file, tls_client_cert=self.cert, require_encryption=True
        )

    def config(self) -> dict[str, str]:
        comm = "distributed.comm.tls"
        return {f"{comm}.ca-file": self.ca_file, f"{comm}.client.cert": self.cert}

    def _write(self, name: str, data: bytes) -> str:
        path = self._folder / name
        path.write_bytes(data)
        return str(path)

    def _sign(self, name, key, *, authority: bool = False):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def test_an_encrypted_cluster(tmp_path, ungoverned, counted, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.cluster.connecting.CONNECT_TIMEOUT_S", 1.0)
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    ungoverned.start_scheduler(*ours.options())
    ungoverned.add_worker(*ours.options())
    address = ungoverned.address
    assert address.startswith("tls://")
    counted.let_go()

    with pytest.raises(nbflow.ClusterError, match=r"encrypted, and .*no certificates.*tls"):
        counted.flow.run(cluster=address, progress=False)
    with (
        dask.config.set(theirs.config()),
        pytest.raises(nbflow.ClusterError, match=r"certificates do not fit together"),
    ):
        counted.flow.run(cluster=address, progress=False)
    assert counted.beginnings("slow") == 0

    with dask.config.set(ours.config()):
        counted.check(counted.flow.run(cluster=address, progress=False))
    with Client(address, security=ours.security(), set_as_default=False) as client:
        run = counted.flow.run(cluster=client, progress=False)
    assert run["total"].outputs["result"] == counted.answer
