import time

import pytest

from nbflow.core import events as ev
from nbflow.core import machine
from nbflow.core.spec import FlowSpec
from nbflow.session import claiming
from nbflow.session.home import Home

RUN = "r1"


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


def create(home, flow):
    created = ev.RunCreated(FlowSpec(name=flow, nodes=()), {}, "out")
    home.journal.create(RUN, created, flow=flow, at=time.time())


def recorded(home):
    return machine.replay(home.journal.read(RUN))


def test_a_run_that_was_seen_before_is_read_on_from_there(home):
    create(home, "first")
    seen = recorded(home)
    epoch = home.journal.claim(RUN, "another", now=time.time(), ttl_s=30)
    claimed = ev.Record(RUN, 2, epoch, time.time(), ev.RunClaimed("another"))
    home.journal.append(RUN, epoch, [claimed])
    home.journal.release(RUN, epoch)
    held = claiming.claim(home, RUN, time.time, seen)
    assert held.run == recorded(home)
    assert held.run.seq == 2
    assert held.run.graph is seen.graph
    held.give_back()


def test_a_run_whose_id_was_used_again_is_read_from_its_beginning(home):
    create(home, "first")
    seen = recorded(home)
    home.journal.remove(RUN, now=time.time())
    create(home, "second")
    held = claiming.claim(home, RUN, time.time, seen)
    assert held.run.graph.spec.name == "second"
    held.give_back()
