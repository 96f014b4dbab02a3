"""Runs that this process holds: from the claim on, and as it lets go of them."""

import subprocess
import sys
import threading
import time

import pytest
from stored_runs import StoredRun
from watchpoint import until

from nbflow.core.errors import ArtifactError, JournalError, RunHeld
from nbflow.driver.lease import LEASE_TTL_S
from nbflow.session import claiming
from nbflow.session.home import Home

TTL_S = 0.6


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A run in a home, and a claim of it whose lease is a short one."""
    monkeypatch.setattr(claiming, "LEASE_TTL_S", TTL_S)
    home = Home.open(tmp_path / "home")
    stored = StoredRun(home, "run")
    home.journal.release("run", stored.epoch)
    claimed = claiming.claim(home, "run", time.time)
    yield home, claimed
    claimed.take_sign_down()
    home.close()


def test_a_lease_is_renewed_while_the_cluster_starts(held):
    home, claimed = held
    until = time.time() + 3 * TTL_S
    with claiming.kept(home, claimed, time.time):
        while home.journal.row("run").lease_until < until + TTL_S / 2:
            assert home.journal.row("run").is_held(time.time())
            with pytest.raises(RunHeld):
                home.journal.claim("run", "elsewhere:2:2.00", now=time.time(), ttl_s=TTL_S)
            time.sleep(0.02)
    assert not [it for it in threading.enumerate() if it.name == "nbflow-launch"]


def test_who_has_lost_the_lease_meanwhile_renews_it_no_more(held):
    home, claimed = held
    home.journal.release("run", claimed.epoch)
    other = home.journal.claim("run", "elsewhere:2:2.00", now=time.time(), ttl_s=30)
    with claiming.kept(home, claimed, time.time):
        (keeper,) = (it for it in threading.enumerate() if it.name == "nbflow-launch")
        keeper.join(30)
        assert not keeper.is_alive()
    row = home.journal.row("run")
    assert (row.epoch, row.holder) == (other, "elsewhere:2:2.00")


def test_what_was_asked_of_an_earlier_driver_is_told_from_what_is_asked_of_this_one(held):
    home, claimed = held
    assert claimed.left == []
    home.journal.signal("run", "cancel", "ann", at=1.0)
    claimed.give_back()
    with claiming.briefly_claimed(home, "run") as later:
        home.journal.signal("run", "cancel", "bob", at=2.0)
        assert [it.by for it in home.journal.signals("run") if it.id in later.left] == ["ann"]


def test_who_fails_before_there_is_a_driver_gives_the_run_back(held):
    home, claimed = held
    claimed.give_back()
    with pytest.raises(ArtifactError), claiming.claimed(home, "run", time.time):
        raise ArtifactError("the store cannot be reached")
    assert home.journal.row("run").holder == ""


def test_a_brief_claim_lasts_as_long_as_it_takes_and_is_given_back(held):
    home, claimed = held
    claimed.give_back()
    with claiming.briefly_claimed(home, "run"):
        first = home.journal.row("run").lease_until
        until(lambda: home.journal.row("run").lease_until > first + TTL_S)
    assert home.journal.row("run").holder == ""
    with pytest.raises(ArtifactError), claiming.briefly_claimed(home, "run"):
        raise ArtifactError("the store cannot be reached")
    assert home.journal.row("run").holder == ""


def test_who_could_not_give_its_lease_back_may_claim_the_run_again_at_once(held):
    home, claimed = held
    with pytest.raises(RunHeld):
        claiming.claim(home, "run", time.time)
    elsewhere = Home.open(home.folder)
    claimed.give_back()
    unheard = claiming.claim(elsewhere, "run", time.time)
    elsewhere.close()
    with pytest.raises(JournalError):
        unheard.give_back()
    assert home.journal.row("run").is_held(time.time())
    with claiming.briefly_claimed(home, "run") as again:
        assert again.epoch == unheard.epoch + 1


#: Lets go of a run, but cannot say so in the journal; then it goes on with something else.
UNHEARD = """
import sys, time
from pathlib import Path
from nbflow.core.errors import JournalError
from nbflow.session.claiming import claim
from nbflow.session.home import Home

home = Home.open(Path(sys.argv[1]))
held = claim(home, "run", time.time)
home.close()
try:
    held.give_back()
except JournalError:
    print("goes on", flush=True)
input()
print("has done its work")
"""


def test_who_could_not_give_its_lease_back_is_left_in_peace(held):
    home, claimed = held
    claimed.give_back()
    with subprocess.Popen(
        [sys.executable, "-c", UNHEARD, str(home.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout.readline() == "goes on\n"
            assert home.journal.row("run").holder
            with claiming.claimed(home, "run", lambda: time.time() + LEASE_TTL_S) as mine:
                assert mine.epoch == home.journal.row("run").epoch
                mine.give_back()
            assert other.communicate("\n", timeout=30)[0] == "has done its work\n"
        finally:
            other.kill()
