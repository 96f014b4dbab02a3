"""The system's counts of kills, in file systems of our own."""

import pytest

from nbflow.notebooks.memory_pressure import MemoryPressure


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


EVENTS = "low 0\nhigh 0\nmax 7\noom 1\noom_kill {}\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
VMSTAT = "nr_free_pages 5\noom_kill {}\n"


@pytest.mark.parametrize(
    ("groups", "path", "text"),
    [
        ("0::/user/app\n", "sys/fs/cgroup/user/app/memory.events", EVENTS),
        ("0::/outside\n", "sys/fs/cgroup/memory.events", EVENTS),
        ("4:memory:/app\n1:cpu:/\n0::/\n", "sys/fs/cgroup/memory/app/memory.oom_control", CONTROL),
        ("4:memory:/outside\n", "sys/fs/cgroup/memory/memory.oom_control", CONTROL),
        ("0::/\n", "proc/vmstat", VMSTAT),
        ("", "proc/vmstat", VMSTAT),
    ],
)
def test_a_count_that_rises_is_noticed(tmp_path, groups, path, text):
    write(tmp_path, "proc/self/cgroup", groups)
    write(tmp_path, "proc/vmstat", VMSTAT.format(3))
    write(tmp_path, path, text.format(3))
    pressure = MemoryPressure(tmp_path)
    assert not pressure.has_killed()
    write(tmp_path, path, text.format(4))
    assert pressure.has_killed()


def test_where_nothing_counts_nothing_is_noticed(tmp_path):
    assert not MemoryPressure(tmp_path / "nowhere").has_killed()


def test_a_count_that_goes_away_is_no_kill(tmp_path):
    write(tmp_path, "proc/vmstat", VMSTAT.format(3))
    pressure = MemoryPressure(tmp_path)
    (tmp_path / "proc/vmstat").unlink()
    assert not pressure.has_killed()
