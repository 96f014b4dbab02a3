"""Reports travel in order, together where that costs nothing, and none is lost."""

import asyncio

from nbflow.cluster.reporting import ReportBuffer, decode
from nbflow.core.attempts import Ended, Outcome, Printed, Progress, Sampled, Started
from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack
from nbflow.core.usage import Usage

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


def test_of_samples_and_stacks_the_latest_of_each_attempt_are_sent_together() -> None:
    two = AttemptId("run", "two", 1, 1)
    samples = [Sampled(it, Usage(at=at)) for at in (1.0, 2.0) for it in (ONE, two)]
    stack = Stack(ONE, 2.0, ())
    messages = sent(lambda buffer: [buffer.put(it) for it in (*samples, stack)])

    assert messages == [[*samples[2:], stack]]


def test_prints_keep_their_order_and_do_not_hold_up_an_end() -> None:
    prints = [Printed(ONE, 0, "stdout", text, 1.0) for text in ("a", "b")]

    assert sent(lambda buffer: [buffer.put(it) for it in prints]) == [prints]
    assert sent(lambda buffer: [buffer.put(it) for it in (*prints, end())]) == [[*prints, end()]]


def test_ends_of_a_bundle_may_share_a_message() -> None:
    other = AttemptId("run", "two", 1, 1)
    messages = sent(lambda buffer: [buffer.put(end(), more_follows=True), buffer.put(end(other))])

    assert messages == [[end(), end(other)]]


def test_flushing_nothing_sends_nothing() -> None:
    assert sent(lambda buffer: buffer.flush()) == []
