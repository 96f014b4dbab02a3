"""The embedded cluster's own life: its size, its workers' deaths, and what it leaves open."""

import asyncio
import sys

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


def test_two_clusters_do_not_meet() -> None:
    async def main() -> None:
        clusters = [EmbeddedCluster(Embedded(workers=1, threads=1), print, print) for _ in "ab"]
        for cluster in clusters:
            await cluster.start()
        assert len({cluster.address for cluster in clusters}) == 2
        await asyncio.gather(*(cluster.first_worker() for cluster in clusters))
        await asyncio.gather(*(cluster.close() for cluster in clusters))

    asyncio.run(main())
