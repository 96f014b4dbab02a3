"""What functions print, kept apart."""

import contextvars
import io
import sys
import threading

from nbflow.notebooks.masking import Mask
from nbflow.worker.streams import Log, printing_to


def test_what_is_printed_at_the_same_time_is_kept_apart(capsys):
    logs = {"left": Log(), "right": Log()}
    barrier = threading.Barrier(len(logs))

    def work(word):
        with printing_to(logs[word]):
            for _ in range(50):
                print(word)
                barrier.wait()
            print(word, file=sys.stderr)

    before = sys.stdout, sys.stderr
    threads = [threading.Thread(target=work, args=(word,)) for word in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for word, log in logs.items():
        assert log.text() == f"{word}\n" * 51
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "")


def test_all_else_goes_where_it_would_have_gone(capsys):
    log = Log()
    with printing_to(log):
        contextvars.Context().run(print, "outside")
        sys.stdout.writelines(["a", "b"])
        sys.stdout.flush()
        assert sys.stdout.encoding
    assert capsys.readouterr().out == "outside\n"
    assert log.text() == "ab"


def test_a_stream_that_somebody_put_there_meanwhile_stays(monkeypatch):
    mine = io.StringIO()
    with printing_to(Log()):
        monkeypatch.setattr(sys, "stdout", mine)
    assert sys.stdout is mine


def test_a_full_log_counts_what_it_drops():
    log = Log(limit=4)
    assert log.write("abc") == 3
    assert log.write("def") == 3
    log.write("g")
    assert log.text() == "abcd\n[3 more characters were not kept]\n"


def test_a_secret_is_masked_before_the_log_is_cut():
    log = Log(Mask(["hunter22"]), limit=10)
    for piece in ("is hun", "ter22, ", "or hunter"):
        log.write(piece)
    assert log.text() == "is ***, or\n[7 more characters were not kept]\n"
