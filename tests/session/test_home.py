"""Which folder is a home, which run is meant, and whether its driver lives."""

import os
import socket
import subprocess
import sys
import time

import pytest

from nbflow.core.errors import JournalError, UnknownRun
from nbflow.core.events import RunCreated
from nbflow.core.spec import FlowSpec
from nbflow.ports import RunRow
from nbflow.session.home import Home, chosen, driver_name, is_dead, is_driven, located


def test_a_home_is_chosen_by_argument_then_variable_then_place(tmp_path) -> None:
    beside = tmp_path / "flow"
    assert chosen("given", beside, {"NBFLOW_HOME": "variable"}).name == "given"
    assert chosen(None, beside, {"NBFLOW_HOME": "variable"}).name == "variable"
    assert chosen(None, beside, {}) == beside / ".nbflow"


def test_a_home_is_found_from_below(tmp_path) -> None:
    Home.open(tmp_path / ".nbflow").close()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert located(None, below, {}) == tmp_path / ".nbflow"
    assert located("x", below, {}).name == "x"
    assert located(None, below, {"NBFLOW_HOME": "y"}).name == "y"


def test_where_there_is_no_home_the_message_says_how_to_name_one(tmp_path) -> None:
    with pytest.raises(UnknownRun, match="--home"):
        Home.find(tmp_path / "nothing", tmp_path)


def test_a_home_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file.*cannot be made.*--home"):
        Home.open(tmp_path / "file" / "home")


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / ".nbflow")
    for name in ("sales-1", "sales-2", "other"):
        created = RunCreated(FlowSpec(name="f", nodes=()), {}, "")
        opened.journal.create(name, created, flow="f", at=1.0)
    yield opened
    opened.close()


def test_a_run_is_named_by_a_beginning_that_fits_no_other(home) -> None:
    assert home.run_row("oth").id == "other"
    assert home.run_row("sales-1").id == "sales-1"
    with pytest.raises(UnknownRun, match="may be any of 2 runs"):
        home.run_row("sales")
    with pytest.raises(UnknownRun, match=r"no run 'absent'.*The latest"):
        home.run_row("absent")


def row(holder: str, lease_until: float = 100.0) -> RunRow:
    return RunRow("r", "f", 0.0, 1, 1, holder, lease_until)


def test_a_live_driver_is_driven_until_its_lease_ends() -> None:
    assert is_driven(row(driver_name()), now=99.0)
    assert not is_driven(row(driver_name()), now=101.0)
    assert not is_driven(row(""), now=1.0)


def test_a_process_of_this_host_that_has_ended_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert is_dead(f"{socket.gethostname()}:{child.pid}:{time.time():.2f}")
    assert not is_driven(row(f"{socket.gethostname()}:{child.pid}:1.00"), now=1.0)


def test_a_later_process_with_the_same_pid_is_not_the_driver() -> None:
    assert is_dead(f"{socket.gethostname()}:{os.getpid()}:1.00")
    assert not is_dead(driver_name())


@pytest.mark.parametrize("holder", ["elsewhere:1:1.0", "not a holder", ""])
def test_nobody_is_dead_for_sure_on_another_host(holder: str) -> None:
    assert not is_dead(holder)
