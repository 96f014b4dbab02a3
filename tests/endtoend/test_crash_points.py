"""The driver ends at one of its durable steps, and what resumes the run ends it as if undisturbed.

These are parts of what ``python -m chaos.sweep`` and ``make chaos`` do at length.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chaos.sweep import Report

ROOT = Path(__file__).parents[2]


def _run(module: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "least_ends"),
    [
        pytest.param(("--step", "4"), 25, id="in a home that other runs share"),
        pytest.param(("--birth", "--step", "9", "--first", "3"), 12, id="in a new home"),
        pytest.param(("--again", "--step", "9", "--first", "2"), 12, id="and the resume ends, too"),
    ],
)
def test_a_driver_that_ends_at_any_durable_step_loses_nothing(
    options: tuple[str, ...], least_ends: int, tmp_path: Path
) -> None:
    ended = _run("chaos.sweep", str(tmp_path / "sweep"), *options, folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = msgspec.json.decode(ended.stdout, type=Report)
    assert report.faults == []
    assert sum(report.steps.values()) >= least_ends
    # Commits, artifacts and receipts have all been among them.
    told = " ".join(report.steps)
    assert all(word in told for word in ("commit", "artifact", "receipt")), report.steps


@pytest.mark.alone  # Processes that are killed at chosen moments need a machine that keeps pace.
@pytest.mark.timeout(600)  # A driver that is stopped is waited for until its lease ends.
def test_random_kills_of_all_processes_lose_nothing(tmp_path: Path) -> None:
    ended = _run("chaos", "--kills", "10", "--seed", "20261", "--lanes", "2", folder=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kills, _, rest = ended.stdout.strip().splitlines()[-1].partition(" kills ")
    assert int(kills) >= 10
    assert "0 repetitions of what was recorded, 0 wrong answers, 0 left behind, 0 other" in rest
