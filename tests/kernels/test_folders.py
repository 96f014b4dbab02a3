"""What becomes of the folders of processes that were killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nbflow import _processes
from nbflow.kernels import folders
from nbflow.kernels.folders import KernelFolder, own, sweep, sweep_ended

PROGRAM = """
from nbflow.kernels.folders import KernelFolder
print(KernelFolder().path, flush=True)
input()
"""


@pytest.fixture
def left():
    """The folder of a kernel whose process is there until it is killed, and that process."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=pipe, stdout=pipe) as process:
        path = Path(process.stdout.readline().decode().strip())
        yield path, process
        process.kill()
    sweep(process.pid)


def killed(process):
    process.kill()
    process.wait()


def test_a_folder_goes_once_its_process_has_ended(left):
    path, process = left
    mine = KernelFolder()
    sweep_ended()
    assert path.is_dir()
    killed(process)
    sweep_ended()
    assert not path.exists()
    assert mine.path.is_dir()
    mine.remove()


@pytest.mark.parametrize("text", [None, "", "1234", "nobody:1-2", "elsewhere"])
def test_a_folder_stays_whose_owner_cannot_be_told(left, text):
    path, process = left
    killed(process)
    owner = path / "owner"
    if text is None:
        owner.unlink()
    elif text == "elsewhere":
        # Of another container, say, that shares the folder.
        owner.write_text(owner.read_text() + "1")
    else:
        owner.write_text(text)
    sweep_ended()
    assert path.is_dir()


def test_a_folder_of_another_user_stays_and_so_does_what_is_none(left, monkeypatch):
    path, process = left
    killed(process)
    link = Path(tempfile.gettempdir()) / "nbflow-k-1-link"
    link.symlink_to(path)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(folders.os, "getuid", lambda: path.stat().st_uid + 1)
            sweep_ended()
        assert path.is_dir()
        sweep_ended()
        assert link.is_symlink()
    finally:
        link.unlink()


def test_a_number_that_is_another_processs_by_now_keeps_nothing(left):
    path, process = left
    killed(process)
    pid, _, identity = _processes.told().partition(":")
    ticks, _, world = identity.partition("-")
    (path / "owner").write_text(f"{pid}:{int(ticks) - 1}-{world}")
    sweep_ended()
    assert not path.exists()


def test_without_a_way_to_tell_processes_apart_a_folder_is_made_all_the_same(tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(_processes, "told", none)
    own(tmp_path)
    assert list(tmp_path.iterdir()) == []
