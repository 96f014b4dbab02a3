"""A process that was stopped while it held the write lock, and what others see of it."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from watchpoint import until

from nbflow.core import events as ev
from nbflow.core.errors import JournalError
from nbflow.core.spec import FlowSpec
from nbflow.driver.lease import LEASE_TTL_S
from nbflow.journal import SqlJournal, locks
from nbflow.journal.database import PATIENCE_S

CREATED = ev.RunCreated(FlowSpec(name="sales", nodes=()), {}, "/out")

#: Takes the write lock of a journal, and is stopped with it.
STOPPED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with SqlJournal.open(path, busy_timeout_s=0.1) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
        yield journal


@pytest.fixture
def stopped(journal, path):
    with subprocess.Popen([sys.executable, "-c", STOPPED, str(path)]) as process:
        until(lambda: state_of(process.pid) == "T")
        yield process.pid
        process.kill()


def test_the_stopped_process_that_holds_the_lock_is_named_with_the_way_out(journal, stopped):
    with pytest.raises(JournalError) as caught:
        journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    message = str(caught.value)
    assert f"is locked for too long by process {stopped} (python" in message
    assert "which is stopped" in message
    assert f"`kill -CONT {stopped}`" in message
    assert f"`kill -KILL {stopped}`" in message


def test_a_driver_waits_longer_for_the_lock_than_who_begins_something(journal, path):
    driver = SqlJournal.open(path, busy_timeout_s=0.05, patience_s=60.0)
    epoch = driver.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    record = ev.Record("r1", 2, epoch, 101.0, ev.NodeReset("load", "why"))
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with driver, contextlib.closing(holder), ThreadPoolExecutor(1) as pool:
        holder.execute("BEGIN IMMEDIATE")
        appended = pool.submit(driver.append, "r1", epoch, [record])
        with pytest.raises(JournalError, match="is locked"):
            journal.signal("r1", "cancel", "ada", at=100.0)
        assert not appended.done(), "its run would end"
        holder.execute("ROLLBACK")
        appended.result()

        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="is locked"):
            driver.claim("r1", "host:2", now=200.0, ttl_s=30.0)
        holder.execute("ROLLBACK")
        driver.renew("r1", epoch, now=110.0, ttl_s=30.0)
    assert journal.row("r1").last_seq == 2


def test_a_driver_is_patient_no_longer_than_its_lease():
    assert PATIENCE_S + LEASE_TTL_S / 3 < LEASE_TTL_S


def test_what_is_recorded_can_be_read_meanwhile(journal, path, stopped):
    assert [record.seq for record in journal.read("r1")] == [1]
    with SqlJournal.open(path, busy_timeout_s=0.1) as other:
        assert other.row("r1").last_seq == 1


def test_with_its_end_the_lock_is_free(journal, stopped):
    os.kill(stopped, signal.SIGKILL)
    until(lambda: state_of(stopped) == "Z")
    assert journal.claim("r1", "host:1", now=100.0, ttl_s=30.0) == 1


def test_nobody_holds_the_lock_of_a_journal_at_rest(journal, path):
    assert locks.holder_of(path) is None
    assert locks.holder_of(path.with_name("absent.db")) is None


def test_a_journal_is_open_as_long_as_somebody_has_it(path):
    assert not locks.is_open(path)
    with SqlJournal.open(path):
        assert locks.is_open(path)
    assert not locks.is_open(path)


def test_a_holder_without_a_log_is_found_too(tmp_path):
    path = tmp_path / "plain.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with subprocess.Popen([sys.executable, "-c", STOPPED, str(path)]) as process:
        until(lambda: state_of(process.pid) == "T")
        try:
            assert locks.holder_of(path).pid == process.pid
            assert locks.holder_of(path).stopped
        finally:
            process.kill()


def test_a_holder_that_works_is_to_be_waited_for(tmp_path):
    holder = locks.Holder(os.getpid(), "python", stopped=False)
    assert "Wait for it" in holder.way_out
    assert "another container" in str(locks.Holder(0, "", stopped=False))
