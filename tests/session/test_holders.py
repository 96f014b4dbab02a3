"""Whether a run's driver lives, and its end where it has only stopped."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from watchpoint import until

from nbflow.core.errors import JournalError, LostLease
from nbflow.core.events import NodeReset, Record, RunCreated
from nbflow.core.spec import FlowSpec
from nbflow.journal import SqlJournal
from nbflow.ports import MAX_LEASE_S, RunRow
from nbflow.session.holders import driver_name, end_stale_driver, is_dead, is_driven

#: Holds a run until it is stopped: at rest, or in the middle of an append.
DRIVER = """
import os, signal, sys
from nbflow.core.events import NodeReset, Record
from nbflow.journal import SqlJournal
from nbflow.journal.seals import seal
from nbflow.session.holders import Sign, driver_name

journal = SqlJournal.open(sys.argv[1])
sign = Sign(journal.row("r1"))
epoch = journal.claim("r1", driver_name(), now=100.0, ttl_s=30.0)
print("ready", flush=True)
if sys.argv[2] == "writing":
    def work(connection):
        connection.exec_driver_sql("UPDATE runs SET last_seq=2")
        os.kill(os.getpid(), signal.SIGSTOP)
    journal._database.write(work)
elif sys.argv[2] == "waking":
    os.kill(os.getpid(), signal.SIGSTOP)
    record = Record("r1", 2, epoch, 100.0, NodeReset("load", "too late"))
    try:
        journal.append("r1", epoch, [record])
    except Exception as error:
        print(type(error).__name__, flush=True)
else:
    os.kill(os.getpid(), signal.SIGSTOP)
"""

#: Is at work on a run as long as nobody tells it to let go of that.
SLEEPER = """
from nbflow.ports import RunRow
from nbflow.session.holders import Sign, driver_name

sign = Sign(RunRow("r1", "f", 0.0, 1, 1))
print(driver_name(), flush=True)
input()
sign.take_down()
print("has let go", flush=True)
input()
"""


def row(holder, lease_until=100.0):
    return RunRow("r1", "f", 0.0, 1, 1, holder, lease_until)


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def sleeper():
    """A process that names itself as a driver does, shows the sign of a run, and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        process.holder = process.stdout.readline().strip()
        yield process
        process.kill()


@pytest.fixture
def journal(tmp_path):
    with SqlJournal.open(tmp_path / "journal.db", busy_timeout_s=0.2) as journal:
        created = RunCreated(FlowSpec(name="f", nodes=()), {}, "")
        journal.create("r1", created, flow="f", at=1.0)
        yield journal


@pytest.fixture
def stopped(journal, tmp_path):
    """Starts a driver that holds the run, and is stopped in the given state."""
    processes = []

    def start(how):
        command = [sys.executable, "-c", DRIVER, str(tmp_path / "journal.db"), how]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "ready\n"
        until(lambda: state_of(processes[-1].pid) == "T")
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_live_driver_is_driven_until_its_lease_ends():
    assert is_driven(row(driver_name()), now=99.0)
    assert not is_driven(row(driver_name()), now=101.0)
    assert not is_driven(row(""), now=1.0)


def test_a_lease_of_a_clock_that_was_set_back_is_no_lease():
    assert not is_driven(row(driver_name(), 1e6), now=1e6 - MAX_LEASE_S - 1)


def test_a_process_of_this_machine_that_has_ended_is_dead(sleeper):
    assert not is_dead(sleeper.holder)
    sleeper.kill()
    until(lambda: state_of(sleeper.pid) == "Z")
    assert is_dead(sleeper.holder), "its parent has not asked for its exit code yet"
    sleeper.wait()
    assert is_dead(sleeper.holder)
    assert not is_driven(row(sleeper.holder), now=1.0)


def test_a_later_process_with_the_same_number_is_not_the_driver():
    host, pid, identity = driver_name().split(":")
    ticks, world = identity.split("-", 1)
    assert is_dead(f"{host}:{pid}:{int(ticks) - 1}-{world}")
    assert not is_dead(driver_name())


@pytest.mark.parametrize(
    "holder",
    [
        "elsewhere:1:1.0",
        "not a holder",
        "",
        f"{socket.gethostname()}:1:5-0123abcd-4026531836",
        f"{socket.gethostname()}:999999999:17953109.50",
    ],
    ids=["another host", "nonsense", "nobody", "another boot", "an older version"],
)
def test_nobody_else_is_dead_for_sure(holder):
    assert not is_dead(holder)
    assert not end_stale_driver(row(holder), now=1000.0)


@pytest.mark.parametrize("how", ["at rest", "writing"])
def test_a_stopped_driver_is_ended_before_its_run_is_taken_over(journal, stopped, caplog, how):
    driver = stopped(how)
    held = journal.row("r1")
    assert not end_stale_driver(held, now=129.0), "its lease is good"
    assert state_of(driver.pid) == "T"

    assert end_stale_driver(held, now=131.0)

    assert driver.wait() == -signal.SIGKILL
    assert f"process {driver.pid} " in caplog.text
    assert journal.claim("r1", driver_name(), now=131.0, ttl_s=30.0) == 2
    assert [record.seq for record in journal.read("r1")] == [1]
    journal.append("r1", 2, [Record("r1", 2, 2, 131.0, NodeReset("load", "why"))])


def test_a_stopped_driver_with_the_lock_blocks_a_claim_only_until_it_is_ended(journal, stopped):
    driver = stopped("writing")
    with pytest.raises(JournalError, match=rf"process {driver.pid} .*which is stopped"):
        journal.claim("r1", driver_name(), now=131.0, ttl_s=30.0)
    assert end_stale_driver(journal.row("r1"), now=131.0)
    assert journal.claim("r1", driver_name(), now=131.0, ttl_s=30.0) == 2


def test_a_stopped_driver_that_wakes_up_after_a_take_over_writes_nothing(journal, stopped):
    driver = stopped("waking")
    assert journal.claim("r1", "elsewhere:1:1", now=131.0, ttl_s=30.0) == 2
    os.kill(driver.pid, signal.SIGCONT)
    assert driver.communicate()[0].strip() == LostLease.__name__
    assert [record.seq for record in journal.read("r1")] == [1]


def test_a_process_is_never_ended_by_itself():
    assert not end_stale_driver(row(driver_name()), now=1000.0)


def test_a_driver_is_not_ended_for_what_a_wrong_clock_says(sleeper):
    assert not end_stale_driver(row(sleeper.holder, 1e9), now=100.0)
    assert not is_dead(sleeper.holder)


def test_who_has_let_go_of_the_run_and_does_something_else_is_not_ended(sleeper):
    sleeper.stdin.write("\n")
    assert sleeper.stdout.readline() == "has let go\n"
    assert not end_stale_driver(row(sleeper.holder), now=1000.0)
    assert not is_dead(sleeper.holder)


def test_who_is_at_work_on_another_run_is_not_ended(sleeper):
    for other in (
        replace(row(sleeper.holder), id="r2"),
        replace(row(sleeper.holder), created_at=1.0),
    ):
        assert not end_stale_driver(other, now=1000.0)
    assert not is_dead(sleeper.holder)
    assert end_stale_driver(row(sleeper.holder), now=1000.0)


def test_who_has_ended_need_not_be_ended(sleeper):
    sleeper.kill()
    sleeper.wait()
    assert not end_stale_driver(row(sleeper.holder), now=1000.0)
