"""What a person asks for by a click: cancel, resume, retry, resolve.

A click is confirmed twice: when the kernel has it, and when it has been done, or refused with the
reason in words. It is done at the panel's desk, as it may arrive in the midst of a cell.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from nbflow.drawing.words import one_line
from nbflow.panels.feed import Feed
from nbflow.panels.followed import Followed

Name: TypeAlias = Literal["cancel", "resume", "retry", "resolve"]
Verdict: TypeAlias = Literal["succeeded", "failed", "retry"]


class Asked(msgspec.Struct, frozen=True):
    """One click. `id` is the browser's, `index` the number of the node that it concerns."""

    id: str
    action: Name
    index: int = -1
    verdict: Verdict = "retry"


class Acknowledged(msgspec.Struct, frozen=True):
    """What has become of a click."""

    id: str
    phase: Literal["taken", "done", "refused"]
    text: str = ""


class Actions:
    """Does what is asked for.

    Parameters
    ----------
    run
        What is asked.
    feed
        Where answers go; its desk does the work.
    """

    def __init__(self, run: Followed, feed: Feed) -> None:
        self._run = run
        self._feed = feed

    def ask(self, asked: Asked) -> None:
        """Have something done; returns at once."""
        names = self._feed.names()
        node = names[asked.index] if 0 <= asked.index < len(names) else ""
        self._feed.channel.send("ack", Acknowledged(asked.id, "taken"))
        # A kind of its own for each wish: one click must not replace another.
        kind = f"{asked.action} {node} {asked.verdict}"
        self._feed.desk.ask(kind, lambda: self._do(asked, node))

    def _do(self, asked: Asked, node: str) -> None:
        try:
            said = self._perform(asked, node)
        except Exception as error:  # noqa: BLE001 - whatever it is, the person is told
            text = one_line(f"{type(error).__name__}: {error}", 500)
            self._feed.channel.send("ack", Acknowledged(asked.id, "refused", text))
        else:
            self._feed.channel.send("ack", Acknowledged(asked.id, "done", said))
            self._feed.wake()

    def _perform(self, asked: Asked, node: str) -> str:
        perform: dict[Name, Callable[[], str]] = {
            "cancel": self._cancel,
            "resume": self._resume,
            "retry": lambda: self._retry(node),
            "resolve": lambda: self._resolve(node, asked.verdict),
        }
        return perform[asked.action]()

    def _cancel(self) -> str:
        self._run.cancel()
        return "asked for cancellation"

    def _resume(self) -> str:
        self._run.resume(wait=False)
        return "the run goes on"

    def _retry(self, node: str) -> str:
        self._run.resume(begin_at=[node], wait=False)
        return f"{node} runs again"

    def _resolve(self, node: str, verdict: Verdict) -> str:
        self._run.resolve(node, verdict)
        return f"{node}: {verdict}"
