"""What nbflow says of its own work: standard logging, told with the run that it is about.

Every module logs to a logger below ``nbflow``, as libraries do, and nothing here happens by itself:
no logger is configured unless ``NBFLOW_LOG`` asks for that, and the root logger never is.

Which run, node, attempt and worker a record is about is known where an attempt begins, and not
where something goes wrong. So it is kept in a context variable (`about`), which tasks and threads
of `asyncio.to_thread` inherit, and `Context`, a filter for any handler, writes it into each record.

``NBFLOW_LOG=json`` or ``text`` makes `speak` give the logger ``nbflow`` one handler: on standard
error, or, in a worker process of the embedded cluster, on that of its driver, whose descriptor it
was handed (`handed_on`).
"""

import contextvars
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

#: Asks for the log (``text``, ``json``), and says from which level on; by default from INFO.
VARIABLE, LEVEL_VARIABLE = "NBFLOW_LOG", "NBFLOW_LOG_LEVEL"
FORMATS = ("text", "json")

#: Where a worker process finds the descriptor that it is to write to.
_DESCRIPTOR = "NBFLOW_LOG_DESCRIPTOR"
_STDERR = 2


class Subject(NamedTuple):
    """What a record is about; empty and None where that is not known, or nothing special."""

    run: str = ""
    node: str = ""
    attempt: int | None = None
    worker: str = ""


_NOTHING = Subject()
_subject: contextvars.ContextVar[Subject] = contextvars.ContextVar("nbflow_subject")


def now_about(subject: Subject) -> None:
    """Let the records of this task, and of those that it starts, be about `subject` from now on."""
    _subject.set(subject)


@contextmanager
def about(subject: Subject) -> Iterator[None]:
    """Let what is logged in this context, or by a task that is made in it, be about `subject`."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


class Context(logging.Filter):
    """Writes into each record what it is about: ``run``, ``node``, ``attempt``, ``worker``.

    It belongs on a handler: a logger's filters see only the records of that very logger.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, with the four attributes; what it was given by ``extra`` stays."""
        for name, value in _subject.get(_NOTHING)._asdict().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class TextFormat(logging.Formatter):
    """One line for people: ``2026-02-01T08:00:00.250Z INFO nbflow.run [sales-1 train#2] …``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, and its traceback below."""
        about = _told(record)
        place = f" [{about}]" if about else ""
        head = f"{_at(record)} {record.levelname} {record.name}{place} "
        return head + super().format(record)


class JsonFormat(logging.Formatter):
    """One JSON object a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; every record has the same keys, besides ``exception``."""
        fields: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, None) or None for name in Subject._fields},
            "event": getattr(record, "event", None),
            "process": record.process,
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class Speaker(logging.Handler):
    """Writes each record whole, at once: so lines of several processes do not mix.

    Parameters
    ----------
    form
        ``"text"`` or ``"json"``.
    stream
        Where to; None is standard error, whatever that is at the time.
    """

    def __init__(self, form: str, stream: TextIO | None = None) -> None:
        super().__init__()
        self.form = form
        self._stream = stream
        self.setFormatter(JsonFormat() if form == "json" else TextFormat())
        self.addFilter(Context())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            stream = self._stream or sys.stderr
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers do: told, and never raised
            self.handleError(record)


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for the log."""
    return bool(environ.get(VARIABLE) or environ.get(LEVEL_VARIABLE))


def speak(environ: MutableMapping[str, str]) -> bool:
    """Give the logger ``nbflow`` its handler, if the environment asks for that; whether it has one.

    What cannot be understood is told in the log itself: nothing fails for the sake of a log.
    """
    logger = logging.getLogger("nbflow")
    if _speaker() is not None or not is_asked_for(environ):
        return _speaker() is not None
    form, level = environ.get(VARIABLE) or "text", (environ.get(LEVEL_VARIABLE) or "INFO").upper()
    logger.addHandler(Speaker(form, _handed_stream(environ)))
    # It is told here; the root logger's handlers would tell it once more.
    logger.propagate = False
    levels = logging.getLevelNamesMapping()
    logger.setLevel(levels.get(level, logging.INFO))
    if form not in FORMATS:
        logger.warning("%s=%s is neither text nor json: it is text", VARIABLE, form)
    if level not in levels:
        logger.warning("%s=%s is no level: it is INFO", LEVEL_VARIABLE, level)
    return True


def speaks() -> bool:
    """Whether the logger ``nbflow`` has its handler."""
    return _speaker() is not None


def hush() -> None:
    """Take away what `speak` gave."""
    logger = logging.getLogger("nbflow")
    if (speaker := _speaker()) is not None:
        logger.removeHandler(speaker)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@contextmanager
def handed_on() -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Give what a worker process needs to write into this process's log, if it has one.

    Yields
    ------
    tuple
        Variables for its environment, and the descriptors that it must inherit. They are closed
        again here, once it has been started.
    """
    if _speaker() is None:
        yield {}, ()
        return
    # Not standard error's own number: a worker's standard error is its own log.
    number = os.dup(_STDERR)
    try:
        yield {_DESCRIPTOR: str(number)}, (number,)
    finally:
        os.close(number)


def _speaker() -> Speaker | None:
    handlers = logging.getLogger("nbflow").handlers
    return next((it for it in handlers if isinstance(it, Speaker)), None)


def _handed_stream(environ: MutableMapping[str, str]) -> TextIO | None:
    # Taken away: to a process further down, the same number may be anything.
    number = environ.pop(_DESCRIPTOR, None)
    if number is None:
        return None
    try:
        os.set_inheritable(int(number), False)
        return os.fdopen(int(number), "w", encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError):
        return None


def _told(record: logging.LogRecord) -> str:
    """Return in a few words what a record is about."""
    run, node = getattr(record, "run", ""), getattr(record, "node", "")
    attempt, worker = getattr(record, "attempt", None), getattr(record, "worker", "")
    words = [run, f"{node}#{attempt}" if node and attempt else node, worker and f"on {worker}"]
    return " ".join(word for word in words if word)


def _at(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"
