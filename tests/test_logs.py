"""The program's log: who is asked, what each record has, and where it goes."""

import asyncio
import io
import json
import logging
import os
import threading

import pytest

from nbflow import _logs


@pytest.fixture
def nbflow_logger():
    """The logger ``nbflow``, which is afterwards as it was."""
    logger = logging.getLogger("nbflow")
    kept = list(logger.handlers), logger.propagate, logger.level
    yield logger
    logger.handlers[:], logger.propagate = kept[:2]
    logger.setLevel(kept[2])


@pytest.fixture
def written():
    """What a logger of its own writes as JSON, with the subject of each record."""
    stream = io.StringIO()
    logger = logging.Logger("nbflow.test")  # noqa: LOG001 - one that nobody else has
    logger.addHandler(_logs.Speaker("json", stream))

    def tell(message, **options):
        logger.warning(message, **options)
        return json.loads(stream.getvalue().splitlines()[-1])

    return tell


def test_a_record_says_what_it_is_about(written):
    with _logs.about(_logs.Subject("sales-1", "train", 2, "tcp://a")):
        told = written("odd")
    about = {"run": "sales-1", "node": "train", "attempt": 2, "worker": "tcp://a"}
    assert about.items() <= told.items()
    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "nbflow.test", "odd")
    assert written("odd")["run"] is None


def test_every_record_has_the_same_keys(written):
    bare = written("one")
    with _logs.about(_logs.Subject("sales-1")):
        assert set(written("two", extra={"event": "RunEnded"})) == set(bare)


def test_what_a_record_brings_itself_counts(written):
    with _logs.about(_logs.Subject("sales-1", "train")):
        assert written("odd", extra={"node": "load"})["node"] == "load"


def test_tasks_and_their_threads_inherit_the_subject(written):
    async def work():
        return await asyncio.to_thread(written, "odd")

    async def main():
        with _logs.about(_logs.Subject("sales-1", "train")):
            inside = asyncio.create_task(work())
        outside = asyncio.create_task(work())
        return (await inside)["node"], (await outside)["node"]

    assert asyncio.run(main()) == ("train", None)


def test_another_threads_records_are_not_about_it(written):
    told = []
    with _logs.about(_logs.Subject("sales-1")):
        thread = threading.Thread(target=lambda: told.append(written("odd")["run"]))
        thread.start()
        thread.join()
    assert told == [None]


def test_a_traceback_is_in_the_json(written):
    told = written("odd", exc_info=ValueError("so"))
    assert told["exception"] == "ValueError: so"


def test_the_text_is_one_line_with_its_place():
    stream = io.StringIO()
    logger = logging.Logger("nbflow.test")  # noqa: LOG001 - one that nobody else has
    logger.addHandler(_logs.Speaker("text", stream))
    with _logs.about(_logs.Subject("sales-1", "train", 2, "tcp://a")):
        logger.warning("odd")
    logger.warning("even")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("Z WARNING nbflow.test [sales-1 train#2 on tcp://a] odd")
    assert second.endswith("Z WARNING nbflow.test even")


def test_nothing_is_configured_unless_asked(nbflow_logger):
    before = list(logging.getLogger().handlers)
    assert not _logs.speak({})
    assert nbflow_logger.handlers == []
    assert _logs.speak({"NBFLOW_LOG": "json"})
    assert _logs.speak({"NBFLOW_LOG": "json"})
    (speaker,) = nbflow_logger.handlers
    assert speaker.form == "json"
    assert logging.getLogger().handlers == before


def test_the_level(nbflow_logger, capsys):
    _logs.speak({"NBFLOW_LOG_LEVEL": "warning"})
    logging.getLogger("nbflow.run").info("little")
    logging.getLogger("nbflow.run").warning("much")
    told = capsys.readouterr().err
    assert "much" in told
    assert "little" not in told


def test_what_is_not_understood_is_told(nbflow_logger, capsys):
    assert _logs.speak({"NBFLOW_LOG": "xml", "NBFLOW_LOG_LEVEL": "loud"})
    told = capsys.readouterr().err
    assert "NBFLOW_LOG=xml is neither text nor json" in told
    assert "NBFLOW_LOG_LEVEL=LOUD is no level" in told


def test_a_worker_is_handed_the_drivers_log(nbflow_logger, capfd):
    with _logs.handed_on() as (variables, descriptors):
        assert (variables, descriptors) == ({}, ())
    _logs.speak({"NBFLOW_LOG": "text"})
    with _logs.handed_on() as (variables, (descriptor,)):
        # As in the worker: its own copy, which outlives this one.
        own = os.dup(descriptor)
    nbflow_logger.handlers.clear()
    (name,) = variables
    _logs.speak({"NBFLOW_LOG": "text", name: str(own)})
    logging.getLogger("nbflow.test").warning("from afar")
    assert "from afar" in capfd.readouterr().err
    assert not os.get_inheritable(own)
    (speaker,) = nbflow_logger.handlers
    speaker._stream.close()


def test_a_descriptor_that_is_gone_leaves_standard_error(nbflow_logger, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    _logs.speak({"NBFLOW_LOG": "text", "NBFLOW_LOG_DESCRIPTOR": str(writing)})
    logging.getLogger("nbflow.test").warning("still here")
    assert "still here" in capsys.readouterr().err
