"""A driver's hold on its run, whatever else the driver is busy with."""

import asyncio
import logging
from functools import partial

import pytest
from driven_run import DrivenRun, node
from watchpoint import until

from nbflow.core.errors import ClusterError
from nbflow.core.states import RunStatus
from nbflow.driver import lease


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "SIGNAL_POLL_S", 0.01)
    return partial(DrivenRun, tmp_path)


def test_the_lease_is_renewed_while_a_large_file_is_hashed(made) -> None:
    it = made(node("load", reads=("/large.csv",)))
    hashed = []

    def slowly(paths):
        it.clock.now += lease.LEASE_TTL_S * 2 / 3
        until(lambda: it.journal.row("run").lease_until == it.clock.now + lease.LEASE_TTL_S, 10)
        hashed.append(paths)
        return "digest"

    it.digest_of_files = slowly
    assert it.drive().status is RunStatus.SUCCEEDED
    assert len(hashed) == 2, "for the plan, and when its turn has come"


def test_a_lease_is_given_back_even_if_the_cluster_is_gone(made, monkeypatch) -> None:
    it = made(node("a"))

    async def perform(task):
        raise AssertionError("it is never begun")

    async def gone(cluster, driver):
        async def refuse(attempts):
            raise ClusterError("it is gone")

        monkeypatch.setattr(cluster, "submit", refuse)
        monkeypatch.setattr(cluster, "cancel", refuse)

    with pytest.raises(ClusterError):
        it.drive(perform, gone)
    assert it.journal.row("run").holder == ""


def newer(it):
    """Leave a decision that only a later version of the program knows."""
    body = '{"node": "a", "verdict": "compensate", "by": "ann"}'
    it.journal.signal(it.id, "decide", "ann", at=it.clock(), body=body)


async def forever(task):
    await asyncio.Event().wait()


def test_a_request_that_is_not_understood_is_told_and_left_and_the_next_one_is_heard(
    made, caplog
) -> None:
    it = made(node("a"))
    newer(it)

    async def ask(cluster, driver):
        while not cluster.submitted:
            await asyncio.sleep(0)
        newer(it)
        it.journal.signal(it.id, "undo", "bob", at=it.clock())
        it.journal.signal(it.id, "cancel", "eve", at=it.clock())

    with caplog.at_level(logging.WARNING):
        assert it.drive(forever, ask).status is RunStatus.CANCELLED
    assert caplog.text.count("what ann asks for is not understood: Invalid enum value") == 2
    assert "what bob asks for is not understood: there is no request 'undo'" in caplog.text
    assert [signal.by for signal in it.journal.signals(it.id)] == ["ann", "ann", "bob"]


def test_whatever_ends_the_keeping_of_a_lease_ends_the_drive(made, monkeypatch) -> None:
    it = made(node("a"))

    def broken(*args, **named):
        raise RuntimeError("nobody has foreseen this")

    async def fail(cluster, driver):
        monkeypatch.setattr(it.journal, "renew", broken)

    with pytest.raises(RuntimeError, match="nobody has foreseen this"):
        it.drive(forever, fail)
    assert it.journal.row(it.id).holder == ""
