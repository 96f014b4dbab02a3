"""The ledger of output, by itself."""

from nbflow.core.policies import OutputLimit
from nbflow.notebooks.limits import Ledger


def test_a_cell_and_the_notebook_are_counted_and_the_nearer_limit_is_told():
    ledger = Ledger(OutputLimit(cell=10_000_000, notebook=15_000_000))
    assert ledger.room_bytes == 10_000_000
    assert ledger.take(9_000_000)
    assert ledger.reached == "this cell's limit of 10 MB"
    assert not ledger.take(2_000_000)
    assert ledger.room_bytes == 1_000_000
    ledger.begin_cell()
    assert ledger.room_bytes == 6_000_000
    assert ledger.reached == "the notebook's limit of 15 MB"


def test_without_limits_there_is_always_room():
    ledger = Ledger(OutputLimit(cell=None, notebook=None))
    assert ledger.room_bytes is None
    assert ledger.take(10**15)


def test_a_full_cell_takes_nothing_until_it_is_cleared():
    ledger = Ledger(OutputLimit(cell=100, notebook=100))
    assert ledger.take(60)
    ledger.full = True
    assert not ledger.take(1)
    assert not ledger.has_room(0)
    ledger.clear_cell()
    assert ledger.room_bytes == 100
    assert ledger.take(100)


def test_a_display_counts_by_its_size_as_often_as_it_is_shown():
    ledger = Ledger(OutputLimit(cell=100, notebook=None))
    assert ledger.take_display("d", 30, shown=0, new=True)
    for _ in range(50):
        assert ledger.take_display("d", 30, shown=1, new=False)
    assert ledger.room_bytes == 70
    assert ledger.take_display("d", 40, shown=1, new=True)
    assert ledger.room_bytes == 20
    assert not ledger.take_display("d", 60, shown=2, new=False)
    assert ledger.take_display("d", 10, shown=2, new=False)
    assert ledger.room_bytes == 80


def test_a_widget_counts_by_its_largest_message():
    ledger = Ledger(OutputLimit(cell=100, notebook=None))
    assert ledger.take_widget("w", 50)
    assert ledger.take_widget("w", 40)
    assert ledger.take_widget("v", 40)
    assert ledger.room_bytes == 10
    assert not ledger.take_widget("w", 70)
    ledger.full = True
    assert ledger.take_widget("w", 20)
