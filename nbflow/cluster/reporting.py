"""Reports on their way from a worker to the driver.

They travel as Dask events (`Worker.log_event`): in order, and on the same stream, before the
scheduler learns that the task has ended. What is sent together costs one message, so the
announcement of an attempt waits for a moment in case its end follows at once. Telemetry waits
longer: of cell progress, samples and stacks only the latest of each attempt is sent (what a worker
samples in one round travels together), of prints all.
"""

import asyncio
from collections.abc import Callable

import msgspec

from nbflow.core.attempts import Ended, Printed, Progress, Report, Sampled
from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack

#: How long the start of an attempt may wait for company, in seconds.
START_DELAY_S = 0.003

#: How long cell progress, samples and stacks may wait, in seconds.
PROGRESS_DELAY_S = 0.1

#: How long prints may wait, in seconds; they have been gathered before.
PRINTED_DELAY_S = 0.05

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Report])


def encode(reports: list[Report]) -> bytes:
    """Return `reports` as one message."""
    return _encoder.encode(reports)


def decode(message: bytes) -> list[Report]:
    """Return the reports in a message."""
    return _decoder.decode(message)


class ReportBuffer:
    """Collects reports of one worker for one driver. Used in the worker's event loop only.

    Parameters
    ----------
    send
        Sends one message.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._waiting: list[Report] = []
        #: Of what only the latest counts, by its kind and attempt.
        self._latest: dict[tuple[type, AttemptId], Progress | Sampled | Stack] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, report: Report, *, more_follows: bool = False) -> None:
        """Add a report; the end of an attempt is sent at once unless `more_follows` soon."""
        if isinstance(report, Progress | Sampled | Stack):
            self._latest[type(report), report.id] = report
            self._send_within(PROGRESS_DELAY_S)
            return
        self._waiting.append(report)
        if isinstance(report, Ended) and not more_follows:
            self.flush()
        else:
            prints = isinstance(report, Printed)
            self._send_within(PRINTED_DELAY_S if prints else START_DELAY_S)

    def flush(self) -> None:
        """Send everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting or self._latest:
            reports = [*self._waiting, *self._latest.values()]
            self._waiting = []
            self._latest = {}
            self._send(encode(reports))

    def _send_within(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due, self.flush)
