"""Reports travel in order, together where that costs nothing, and none is lost."""

import asyncio

from nbflow.cluster.reporting import ReportBuffer, decode
from nbflow.core.attempts import Ended, Outcome, Progress, Started
from nbflow.core.ids import AttemptId

ONE = AttemptId("run", "one", 1, 1)


def end(attempt: AttemptId = ONE) -> Ended:
    return Ended(Outcome(id=attempt, status="succeeded", started_at=1.0, ended_at=2.0))


def sent(script) -> list[list]:
    """Run `script(buffer)` in a loop, let all timers fire, and return the messages."""
    messages: list[list] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        buffer = ReportBuffer(lambda data: messages.append(decode(data)))
        script(buffer)
        while buffer._timer is not None:
            fired = loop.create_future()
            loop.call_at(buffer._timer.when(), fired.set_result, None)
            await fired

    asyncio.run(main())
    return messages


def test_a_start_and_an_end_that_follows_at_once_share_a_message() -> None:
    messages = sent(lambda buffer: [buffer.put(Started(ONE, "w", 1.0)), buffer.put(end())])

    assert messages == [[Started(ONE, "w", 1.0), end()]]


def test_a_start_does_not_wait_for_its_end() -> None:
    assert sent(lambda buffer: buffer.put(Started(ONE, "w", 1.0))) == [[Started(ONE, "w", 1.0)]]


def test_only_the_latest_progress_is_sent() -> None:
    steps = [Progress(ONE, done, 9) for done in range(9)]

    assert sent(lambda buffer: [buffer.put(step) for step in steps]) == [[steps[-1]]]


def test_ends_of_a_bundle_may_share_a_message() -> None:
    other = AttemptId("run", "two", 1, 1)
    messages = sent(lambda buffer: [buffer.put(end(), more_follows=True), buffer.put(end(other))])

    assert messages == [[end(), end(other)]]


def test_flushing_nothing_sends_nothing() -> None:
    assert sent(lambda buffer: buffer.flush()) == []
