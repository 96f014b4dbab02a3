"""What nodes have used is there when the run has ended."""

import logging

from nbflow.core.usage import Usage
from nbflow.session.samples import read_samples, write_samples


def samples(count: int, at: float = 0.0) -> tuple[Usage, ...]:
    return tuple(Usage(at=at + number, cpu_percent=float(number)) for number in range(count))


def test_what_is_written_is_read(tmp_path) -> None:
    path = tmp_path / "run" / "samples.json"
    assert read_samples(path) == {}
    write_samples(path, {"a": samples(3)})
    assert read_samples(path) == {"a": samples(3)}
    assert [each.name for each in path.parent.iterdir()] == ["samples.json"]


def test_a_later_driver_adds_to_what_an_earlier_one_has_left(tmp_path) -> None:
    path = tmp_path / "samples.json"
    write_samples(path, {"a": samples(3), "b": samples(2)})
    write_samples(path, {"b": samples(2, at=100.0), "c": samples(1)})
    assert read_samples(path) == {"a": samples(3), "b": samples(2, at=100.0), "c": samples(1)}


def test_a_long_attempt_is_thinned_out_over_its_whole_length(tmp_path) -> None:
    path = tmp_path / "samples.json"
    write_samples(path, {"a": samples(240)})
    kept = read_samples(path)["a"]
    assert len(kept) == 40
    assert kept[0].at == 0.0
    assert kept[-1].at == 234.0


def test_the_file_stays_small_whatever_the_number_of_nodes(tmp_path) -> None:
    path = tmp_path / "samples.json"
    write_samples(path, {f"old{number}": samples(1) for number in range(150)})
    write_samples(path, {f"new{number}": samples(1) for number in range(150)})
    kept = read_samples(path)
    assert len(kept) == 200
    assert sum(name.startswith("new") for name in kept) == 150


def test_nothing_is_written_of_nothing(tmp_path) -> None:
    write_samples(tmp_path / "samples.json", {})
    assert list(tmp_path.iterdir()) == []


def test_damage_and_full_disks_are_no_error(tmp_path, caplog) -> None:
    path = tmp_path / "samples.json"
    for damage in (b"", b'{"a":', b'{"a":[1]}', b"\xff"):
        path.write_bytes(damage)
        assert read_samples(path) == {}
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        write_samples(tmp_path / "file" / "samples.json", {"a": samples(1)})
    assert "not shown later" in caplog.text
