"""The embedded cluster's own life: its size, its workers' deaths, and what it leaves open."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbflow.cluster import Embedded
from nbflow.cluster.embedded import MAX_FAILED_STARTS, EmbeddedCluster
from nbflow.core.errors import ClusterError


@pytest.mark.parametrize("size", [{"workers": 0}, {"threads": -1}])
def test_a_size_below_one_is_refused(size: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        Embedded(**size)


def test_a_size_that_is_not_given_is_that_of_the_machine() -> None:
    workers, threads = Embedded().sized()
    assert workers * threads >= psutil.cpu_count() / 2
    assert Embedded(workers=3, threads=5).sized() == (3, 5)


def listening(process: psutil.Process) -> set[str]:
    return {
        connection.laddr.ip
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def workers_of(cluster: EmbeddedCluster) -> list[psutil.Process]:
    return [psutil.Process(process.pid) for process in cluster._processes.values()]


def test_it_listens_on_loopback_only_and_ends_with_all_its_processes() -> None:
    async def main() -> list[psutil.Process]:
        cluster = EmbeddedCluster(Embedded(workers=2, threads=1), print, print)
        await cluster.start()
        await cluster.first_worker()
        children = workers_of(cluster)
        try:
            assert cluster.address.startswith("tcp://127.0.0.1:")
            for process in (psutil.Process(), *children):
                assert listening(process) <= {"127.0.0.1"}
        finally:
            await cluster.close()
        return children

    children = asyncio.run(main())
    assert len(children) == 2
    assert not [child for child in children if child.is_running()]


def test_a_worker_that_dies_is_replaced_and_told_of() -> None:
    notes: list[str] = []

    async def main() -> None:
        told = asyncio.Event()
        cluster = EmbeddedCluster(
            Embedded(workers=1, threads=1), lambda text: (notes.append(text), told.set()), print
        )
        await cluster.start()
        await cluster.first_worker()
        (first,) = workers_of(cluster)
        first.kill()
        async with asyncio.timeout(30):
            await told.wait()
            cluster._joins.first.clear()
            await cluster._joins.first.wait()
        await cluster.close()

    asyncio.run(main())
    assert len(notes) == 1
    assert "was killed by signal 9 (SIGKILL)" in notes[0]


def test_workers_that_cannot_start_are_given_up_with_their_last_words(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    notes: list[str] = []
    gone: list[str] = []

    async def main() -> None:
        cluster = EmbeddedCluster(Embedded(workers=2, threads=1), notes.append, gone.append)
        await cluster.start()
        try:
            with pytest.raises(ClusterError, match=r"no worker process .* could start"):
                await cluster.first_worker()
        finally:
            await cluster.close()

    asyncio.run(main())
    assert len(gone) == 1
    assert len(notes) == 2 * (MAX_FAILED_STARTS + 1)


def test_workers_that_the_system_does_not_start_are_given_up(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("nbflow.cluster.embedded.PAUSE_S", 0.01)
    notes: list[str] = []
    gone: list[str] = []

    async def main() -> None:
        cluster = EmbeddedCluster(Embedded(workers=1, threads=1), notes.append, gone.append)
        await cluster.start()
        try:
            async with asyncio.timeout(30):
                with pytest.raises(ClusterError, match=r"could start: .*/nowhere/python"):
                    await cluster.first_worker()
        finally:
            await cluster.close()

    asyncio.run(main())
    assert len(gone) == 1
    assert [note for note in notes if "worker 0.1 could not be started: " in note]


def test_a_worker_is_replaced_though_the_clusters_folder_was_cleaned_up() -> None:
    notes: list[str] = []

    async def main() -> None:
        cluster = EmbeddedCluster(Embedded(workers=1, threads=1), notes.append, print)
        await cluster.start()
        await cluster.first_worker()
        # Away at once: its worker may be writing into it, which a sweep file by file could meet.
        folder = Path(cluster._folder.name)
        swept = await asyncio.to_thread(folder.rename, f"{folder}-swept")
        (first,) = workers_of(cluster)
        first.kill()
        async with asyncio.timeout(30):
            await asyncio.to_thread(first.wait)
            shutil.rmtree(swept)
            while "0.1" not in cluster._joins.seen:
                cluster._joins.first.clear()
                await cluster._joins.first.wait()
        await cluster.close()

    asyncio.run(main())
    assert len(notes) == 1


def test_the_first_worker_is_one_that_is_there() -> None:
    async def main() -> None:
        cluster = EmbeddedCluster(Embedded(workers=1, threads=1), print, print)
        await cluster.start()
        await cluster.first_worker()
        (first,) = workers_of(cluster)
        first.kill()
        async with asyncio.timeout(30):
            while cluster._scheduler.workers:
                await cluster._scheduler.remove_worker(*cluster._scheduler.workers, stimulus_id="t")
            await cluster.first_worker()
        assert cluster._joins.seen == {"0", "0.1"}
        await cluster.close()

    asyncio.run(main())


def test_two_clusters_do_not_meet() -> None:
    async def main() -> None:
        clusters = [EmbeddedCluster(Embedded(workers=1, threads=1), print, print) for _ in "ab"]
        for cluster in clusters:
            await cluster.start()
        assert len({cluster.address for cluster in clusters}) == 2
        await asyncio.gather(*(cluster.first_worker() for cluster in clusters))
        await asyncio.gather(*(cluster.close() for cluster in clusters))

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(4))
def test_it_may_be_closed_before_its_workers_are_there(turns) -> None:
    async def main() -> None:
        cluster = EmbeddedCluster(Embedded(workers=2, threads=1), print, print)
        await cluster.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await cluster.close()
        assert all(process.returncode is not None for process in cluster._processes.values())

    asyncio.run(main())


#: Starts a cluster, and waits to be killed.
PROGRAM = """
import asyncio
from nbflow.cluster import Embedded
from nbflow.cluster.embedded import EmbeddedCluster

async def main():
    cluster = EmbeddedCluster(Embedded(workers=1, threads=1), print, print)
    await cluster.start()
    await cluster.first_worker()
    print(cluster._folder.name, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_folder_of_a_killed_driver_goes_with_the_next_start() -> None:
    async def start_and_close() -> None:
        cluster = EmbeddedCluster(Embedded(workers=1, threads=1), print, print)
        await cluster.start()
        await cluster.first_worker()
        await cluster.close()

    driver = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    try:
        folder = Path(driver.stdout.readline().strip())
        asyncio.run(start_and_close())
        assert folder.is_dir(), "its driver lives"
        workers = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.communicate()
    psutil.wait_procs(workers, timeout=10)
    assert folder.is_dir()
    asyncio.run(start_and_close())
    assert not folder.exists()
