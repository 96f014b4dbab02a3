"""What holds for every test: it leaves no process, no thread and no temporary folder behind."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import leftovers
import pytest
from turns import Turns

#: Fixtures that several folders share, from ``tests/support``.
pytest_plugins = ["postgres_server"]

#: Folders whose tests take long, the longest files first.
LONG = ("suites", "cli", "examples", "endtoend", "panels", "worker", "engine", "docs", "journal")

TURNS = pytest.StashKey[Turns]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes share the tests, which wait for about a third of their time."""
    return max(2, min(8, len(os.sched_getaffinity(0)) * 3 // 2))


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs the tests in its background has set that; what they start would
        # inherit it, and could not be interrupted.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):  # one of several processes that share the tests
        # The folder of the run, in which each process has its own for temporary files.
        config.stash[TURNS] = turns = Turns(Path(config.option.basetemp).parent)
        config.add_cleanup(turns.close)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, begin with what takes long."""
    if TURNS in config.stash:
        rank = {name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: rank.get(item.path.parent.name, len(LONG)))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of what limits the test's time
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Let a test that is marked as `alone` run while the other processes run none."""
    if TURNS not in item.config.stash:
        return (yield)
    turns = item.config.stash[TURNS]
    turns.take(alone=_is_alone(item))
    try:
        return (yield)
    finally:
        # Those of one file go on at once, since their fixtures may be what has to be alone.
        if not (_is_alone(item) and nextitem is not None and _is_alone(nextitem)):
            turns.give()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.fixture(autouse=True, scope="session")
def temporary_folder() -> Iterator[Path]:
    """A temporary folder of this session's own, with a short path: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="nbt"))
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    with leftovers.none_of(temporary_folder):
        yield
