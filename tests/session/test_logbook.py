"""What nodes print: line by line in memory and in files, and never at the run's cost."""

import asyncio
import logging
import os
import threading
import time

import pytest
from watchpoint import until

from nbflow.core.attempts import Printed
from nbflow.core.ids import AttemptId
from nbflow.session import log_files, logbook
from nbflow.session.log_files import Follower, LogLine, current_file, old_file, read_lines
from nbflow.session.logbook import LogBook


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def said(text, *, node="load", number=1, cell=2, stream="stdout", at=7.0):
    return Printed(AttemptId("sales-1", node, number, 1), cell, stream, text, at)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "sales-1" / "logs"


@pytest.fixture
def book(folder, clock):
    with LogBook(folder, clock) as made:
        yield made


def texts(lines):
    return [line.text for line in lines]


def all_of(folder, node="load"):
    return texts(read_lines(folder, node, 10_000_000))


# --- lines


def test_a_line_has_everything_that_is_known_of_it(folder, book):
    book.hear(said("one\ntwo\n", number=3, cell=5, stream="stderr", at=12.5))
    book.close()
    told = LogLine(12.5, "load", 3, 5, "stderr", "one")
    assert book.last("load", 2)[0] == told
    assert read_lines(folder, "load", 2)[0] == told


def test_what_has_no_time_gets_the_books(folder, book, clock):
    book.hear(said("x\n", at=0.0))
    book.close()
    assert book.last("load", 1)[0].at == clock.now


def test_a_line_in_pieces_is_one_line(book):
    for piece in ("a", "b", "c\nd", "e\n\n", "f"):
        book.hear(said(piece))
    book.close()
    assert texts(book.last("load", 9)) == ["abc", "de", "", "f"]


def test_lines_end_where_the_cell_the_stream_or_the_attempt_does(book):
    book.hear(said("a"))
    book.hear(said("b", cell=3))
    book.hear(said("c", cell=3, stream="stderr"))
    book.hear(said("d", cell=3, stream="stderr", number=2))
    book.close()
    assert texts(book.last("load", 9)) == ["a", "b", "c", "d"]


def test_what_is_overwritten_is_not_told(book):
    for percent in range(0, 101, 10):
        book.hear(said(f"\r{percent} %"))
    book.hear(said("\nnext\r\n"))
    book.hear(said("first\rsecond\r"))
    book.close()
    assert texts(book.last("load", 9)) == ["100 %", "next", "second"]


def test_an_open_line_is_seen_at_once_and_written_after_a_while(folder, book, clock):
    book.hear(said("Password: "))
    until(lambda: texts(book.last("load", 1)) == ["Password: "])
    assert all_of(folder) == []
    clock.now += 1.1
    until(lambda: all_of(folder) == ["Password: "])
    book.hear(said("thanks\n"))
    until(lambda: all_of(folder) == ["Password: ", "thanks"])


def test_a_line_without_end_does_not_grow_for_ever(book):
    for _ in range(5):
        book.hear(said("x" * 10_000))
    book.close()
    lines = texts(book.last("load", 99))
    assert max(map(len, lines)) <= 16_000
    assert len(lines) > 1


def test_half_a_character_is_told_as_an_escape(folder, book):
    book.hear(said("caf\udce9\n"))
    book.close()
    assert all_of(folder) == [r"caf\udce9"]


# --- memory and files


def test_the_last_lines_are_the_last(folder, book):
    for number in range(1_000):
        book.hear(said(f"{number}\n"))
    book.close()
    assert texts(book.last("load", 3)) == ["997", "998", "999"]
    assert texts(read_lines(folder, "load", 3)) == ["997", "998", "999"]
    assert len(read_lines(folder, "load", 10_000)) == 1_000
    assert len(book.last("load", 700)) == 700, "memory has fewer; the file has them"
    assert book.last("load", 0) == read_lines(folder, "load", 0) == ()
    assert book.last("nobody", 5) == ()


def test_a_book_goes_on_where_an_earlier_one_has_ended(folder, book, clock):
    book.hear(said("before\n"))
    book.close()
    with current_file(folder, "load").open("ab") as file:
        file.write(b'{"at":1.0,"node":"lo')  # its driver was killed
    with LogBook(folder, clock) as second:
        assert texts(second.last("load", 5)) == ["before"]
        second.hear(said("after\n", number=2))
        until(lambda: texts(second.last("load", 5)) == ["before", "after"])
    assert all_of(folder) == ["before", "after"]


def test_nodes_of_any_name_have_files_of_their_own(folder, book):
    names = ["a", "a/b", "a%2Fb", "a.jsonl", "a.jsonl/b", "x" * 300, "x" * 300 + "y", "x" * 150]
    for name in names:
        book.hear(said(f"I am {name[-5:]}\n", node=name))
    book.close()
    for name in names:
        assert all_of(folder, name) == [f"I am {name[-5:]}"]
    assert {path.parent for path in folder.iterdir()} == {folder}


def test_a_flood_takes_bounded_room(folder, book, monkeypatch):
    monkeypatch.setattr(logbook, "ROTATE_BYTES", 20_000)
    for number in range(2_000):
        book.hear(said(f"{number:>100}\n"))
        until(lambda: len(book._queue) < 100)
    book.close()
    sizes = [path.stat().st_size for path in folder.iterdir()]
    kept = [int(text) for text in all_of(folder)]
    assert len(sizes) <= 2
    assert sum(sizes) < 100_000
    assert kept == list(range(kept[0], 2_000)), "what is kept is the end, without a gap"


def test_memory_is_bounded(book, monkeypatch):
    for number in range(400):
        book.hear(said(f"{number}\n", node=f"n{number}"))
    book.hear(said("x" * 15_000 + "\n"))
    for _ in range(50):
        book.hear(said("y" * 15_000 + "\n"))
    book.close()
    assert len(book._pages) <= 200
    assert sum(len(line.text) for line in book._pages["load"].shown) <= 200_000
    assert texts(book.last("n0", 1)) == ["0"], "what is not in memory is in its file"


# --- trouble


def test_a_disk_that_takes_nothing_is_told_once_and_memory_goes_on(tmp_path, clock, caplog):
    (tmp_path / "logs").touch()
    with caplog.at_level(logging.WARNING), LogBook(tmp_path / "logs", clock) as book:
        for number in range(3):
            book.hear(said(f"{number}\n"))
            book.hear(said(f"{number}\n", node="other"))
            until(lambda: not book._queue)
    assert texts(book.last("load", 9)) == ["0", "1", "2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not kept" in caplog.text


def test_a_full_disk_ends_the_files_and_not_the_book(folder, clock, caplog):
    folder.mkdir(parents=True)
    current_file(folder, "load").symlink_to("/dev/full")
    with LogBook(folder, clock) as book:
        book.hear(said("1\n"))
        until(lambda: "No space left" in caplog.text)
        book.hear(said("2\n"))
    assert texts(book.last("load", 9)) == ["1", "2"]


def test_a_slow_disk_holds_up_nobody_and_leaves_a_note(folder, clock, monkeypatch):
    gate, entered = threading.Event(), threading.Event()

    def slow(lines):
        entered.set()
        gate.wait(60)
        return log_files.encoded(lines)

    monkeypatch.setattr(logbook, "encoded", slow)
    with LogBook(folder, clock) as book:
        book.hear(said("first\n"))
        assert entered.wait(60)
        began = time.monotonic()
        for number in range(5_000):
            book.hear(said(f"{number:>1900}\n"))
        assert time.monotonic() - began < 5
        gate.set()
    *lines, note = read_lines(folder, "load", 10_000)
    assert len(lines) == 2_001
    assert (note.stream, note.text) == ("note", "[… 3,000 pieces left out]")


def test_who_is_closed_hears_nothing_more(folder, book):
    book.hear(said("a\n"))
    book.close()
    book.close()
    book.hear(said("b\n"))
    assert all_of(folder) == ["a"]


def test_a_run_that_prints_nothing_leaves_no_folder(folder, clock):
    with LogBook(folder, clock):
        pass
    assert not folder.exists()


# --- following


def test_following_gives_each_line_once_across_rotation(folder, book, monkeypatch):
    monkeypatch.setattr(logbook, "ROTATE_BYTES", 500)
    follower, seen = Follower(folder, "load"), []
    assert follower.fresh() == []
    for number in range(60):
        book.hear(said(f"{number}\n"))
        until(lambda text=str(number): seen[-1:] == [text] or seen.extend(texts(follower.fresh())))
    assert seen == [str(number) for number in range(60)]
    assert old_file(folder, "load").exists()


def test_following_begins_with_what_is_there(folder, book):
    book.hear(said("".join(f"{number}\n" for number in range(50))))
    book.close()
    assert len(Follower(folder, "load").fresh()) == 50
    some = Follower(folder, "load", last=2)
    assert texts(some.fresh()) == ["48", "49"]
    assert some.fresh() == []
    assert texts(Follower(folder, "load", last=80).fresh())[:2] == ["0", "1"]
    assert Follower(folder, "load", last=0).fresh() == []


def test_following_all_nodes_is_in_the_order_of_time(folder, book):
    book.hear(said("late\n", node="a", at=9.0))
    book.hear(said("early\n", node="m/b", at=8.0))
    until(lambda: read_lines(folder, "m/b", 1))
    follower = Follower(folder)
    assert [(line.node, line.text) for line in follower.fresh()] == [
        ("m/b", "early"),
        ("a", "late"),
    ]
    book.hear(said("new\n", node="c"))
    until(lambda: texts(follower.fresh()) == ["new"])
    assert follower.fresh() == []


def test_a_torn_line_is_waited_for_and_a_damaged_one_left_out(folder, book):
    book.hear(said("a\n"))
    book.close()
    file = current_file(folder, "load")
    whole = file.read_bytes().strip()
    follower = Follower(folder, "load")
    assert texts(follower.fresh()) == ["a"]
    with file.open("ab", buffering=0) as out:
        out.write(b"\xff\xfe{\n[]\n" + whole[:20])
        assert follower.fresh() == []
        out.write(whole[20:] + b"\n")
    assert texts(follower.fresh()) == ["a"]
    assert all_of(folder) == ["a", "a"]


def test_files_that_have_not_changed_are_not_opened_again(folder, book, monkeypatch):
    for name in ("a", "b", "c"):
        book.hear(said("x\n", node=name))
    until(lambda: all(read_lines(folder, name, 1) for name in ("a", "b", "c")))
    follower, opened = Follower(folder), []
    assert len(follower.fresh()) == 3
    real = log_files._opened
    monkeypatch.setattr(log_files, "_opened", lambda *its: opened.append(its[1]) or real(*its))
    assert follower.fresh() == []
    assert opened == []
    book.hear(said("y\n", node="b"))
    until(lambda: texts(follower.fresh()) == ["y"])
    assert set(opened) == {"b"}


def test_only_the_end_of_a_large_file_is_read(folder, monkeypatch):
    folder.mkdir(parents=True)
    lines = [LogLine(1.0, "load", 1, 0, "stdout", f"{number:>90}") for number in range(50_000)]
    current_file(folder, "load").write_bytes(log_files.encoded(lines))
    decoded = []
    real = log_files._decoded
    monkeypatch.setattr(log_files, "_decoded", lambda rows: decoded.extend(rows) or real(rows))
    assert [line.text.strip() for line in read_lines(folder, "load", 2)] == ["49998", "49999"]
    assert len(decoded) < 1_000


def test_a_loop_goes_on_while_its_book_waits_for_a_disk(folder, clock):
    folder.mkdir(parents=True)
    # To open it waits for the other end, as a disk may keep one waiting.
    pipe = current_file(folder, "load")
    os.mkfifo(pipe)

    async def answer():
        # Runs when the loop does.
        return os.open(pipe, os.O_RDWR)

    async def closed():
        async with LogBook(folder, clock) as book:
            book.hear(said("one\n"))
            answering = asyncio.create_task(answer())
        return await answering

    began = time.monotonic()
    os.close(asyncio.run(closed()))
    assert time.monotonic() - began < logbook._CLOSE_S
