import fcntl
import threading

import pytest
from turns import Turns
from watchpoint import until


@pytest.fixture
def seats(tmp_path):
    """Three of a run's processes; the system does not care that they are one."""
    seats = [Turns(tmp_path) for _ in range(3)]
    yield seats
    for turns in seats:
        turns.close()


def test_most_tests_run_beside_each_other(seats):
    for turns in seats:
        turns.take(alone=False)


def test_a_test_that_is_to_be_alone_waits_for_the_others_and_they_for_it(seats, tmp_path):
    first, lone, later = seats
    told = []

    def run(turns, name, *, alone):
        turns.take(alone=alone)
        told.append(f"{name} begins")
        told.append(f"{name} ends")
        turns.give()

    def waits():
        with (tmp_path / "gate").open() as gate:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    first.take(alone=False)
    threads = [threading.Thread(target=run, args=[lone, "lone"], kwargs={"alone": True})]
    threads[0].start()
    until(waits)
    # It comes while the first still runs, and would fit beside it.
    threads.append(threading.Thread(target=run, args=[later, "later"], kwargs={"alone": False}))
    threads[1].start()
    assert told == []
    first.give()
    for thread in threads:
        thread.join()
    assert told == ["lone begins", "lone ends", "later begins", "later ends"]
