import os
import time

import pytest

from nbflow.definition.input_files import FileMemo, InputDigest, input_digest


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.csv").write_text("1")
    (tmp_path / "data" / "b.txt").write_text("2")
    (tmp_path / "data" / "deep" / "c.csv").write_text("3")
    return tmp_path


def digest(*patterns, memo=None):
    return input_digest([str(pattern) for pattern in patterns], memo or FileMemo())


def test_nothing_declared_has_no_digest():
    assert digest() == InputDigest("", ())


@pytest.mark.parametrize(
    ("pattern", "changed", "matters"),
    [
        ("data/a.csv", "data/a.csv", True),
        ("data/a.csv", "data/b.txt", False),
        ("data", "data/deep/c.csv", True),
        ("data", "data/new", True),
        ("data", "other", False),
        ("data/*.csv", "data/a.csv", True),
        ("data/*.csv", "data/new.csv", True),
        ("data/*.csv", "data/b.txt", False),
        ("data/*.csv", "data/deep/c.csv", False),
        ("data/**/*.csv", "data/deep/c.csv", True),
        ("*/deep", "data/deep/c.csv", True),
    ],
)
def test_a_change_matters_to_the_patterns_that_it_fits(data, pattern, changed, matters):
    before = digest(data / pattern)
    (data / changed).write_text("changed")
    after = digest(data / pattern)
    assert (before != after) == matters
    assert before.missing == after.missing == ()


def test_the_digest_is_of_content_and_names_and_not_of_where_the_project_lies(data):
    patterns = ("data/*.csv", "data/b.txt", "data/deep")
    before = digest(*(data / pattern for pattern in patterns))
    moved = data / "moved"
    moved.mkdir()
    (data / "data").rename(moved / "data")
    assert digest(*(moved / pattern for pattern in patterns)) == before
    (moved / "data" / "a.csv").rename(moved / "data" / "z.csv")
    assert digest(*(moved / pattern for pattern in patterns)) != before


def test_a_missing_file_is_named_and_its_coming_changes_the_digest(data):
    wanted = [data / "data" / "late.csv", data / "late" / "*.csv", data / "data" / "a.csv"]
    before = digest(*wanted)
    assert before.missing == (str(wanted[0]), str(wanted[1]))
    wanted[0].write_text("")
    after = digest(*wanted)
    assert after.missing == (str(wanted[1]),)
    assert after.digest != before.digest


def test_what_is_no_file_is_missing(data):
    os.mkfifo(data / "pipe")
    (data / "dangling").symlink_to(data / "nowhere")
    assert digest(data / "pipe", data / "dangling").missing == (
        str(data / "pipe"),
        str(data / "dangling"),
    )


def test_a_name_with_brackets_is_itself_if_there_is_such_a_file(data):
    (data / "data[1].csv").write_text("x")
    before = digest(data / "data[1].csv")
    assert before.missing == ()
    (data / "data[1].csv").write_text("y")
    assert digest(data / "data[1].csv") != before


def test_a_file_is_read_once_as_long_as_it_is_the_same(data, monkeypatch):
    file = data / "data" / "a.csv"
    later = time.time_ns() + 60 * 10**9
    memo = FileMemo(clock_ns=lambda: later)
    before = digest(file, memo=memo)
    assert list(memo.known) == [str(file)]
    memo.known[str(file)] = (memo.known[str(file)][0], b"remembered")
    assert digest(file, memo=memo) != before
    file.write_text("changed in length")
    assert digest(file, memo=memo) == digest(file)


def test_a_young_file_is_not_trusted_to_show_its_next_change(data):
    memo = FileMemo()
    digest(data / "data", memo=memo)
    assert memo.known == {}


def test_a_file_counts_once_however_many_matches_lead_to_it(data):
    assert digest(data / "dat*" / "*") != digest(data / "data" / "a.csv")
    assert digest(data / "data" / "**").missing == ()
