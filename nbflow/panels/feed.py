"""What keeps a widget up to date: looks at the run, and sends what has changed.

The kernel may be busy with the very cell that waits for the run, so no event loop can be relied
on: a thread looks at most ten times a second (`nbflow.drawing.watch`). It sends the records of the
nodes that have changed, and a summary if that has. What takes longer (a diagnosis, the content of
a tab) is made at a desk of its own, no more often than the time it takes allows.

What has changed and cannot be sent yet is remembered by node, so that it costs nothing more the
longer that lasts. Who has missed something asks for all of it, and gets it in one message.
"""

import math
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from nbflow.core.findings import Diagnosis
from nbflow.core.states import RUN_ENDED
from nbflow.core.view import RunView
from nbflow.drawing.lines import finished, shown_status
from nbflow.drawing.watch import Watcher
from nbflow.drawing.words import one_line
from nbflow.panels.channel import Channel, Send
from nbflow.panels.desk import Desk
from nbflow.panels.detail import Choice, Details, Tab, finding_documents
from nbflow.panels.followed import Followed
from nbflow.panels.tally import Tally
from nbflow.panels.tracking import Tracker
from nbflow.panels.wire import Workers, pack

#: At most ten looks a second, and at least one.
_INTERVAL_S, _IDLE_S = 0.1, 1.0
#: Seconds: between sweeps over all nodes, between signs of life, between summaries that tell
#: only of costs and counts.
_SWEEP_S, _BEAT_S, _SUMMARY_S = 1.0, 5.0, 0.3
#: Between two diagnoses, two contents of a tab; and how many times longer than they took.
_DIAGNOSIS_S, _DETAIL_S, _REST = 2.0, 1.0, 20.0
#: Records in one message, and bytes a second for the content of tabs.
_MAX_RECORDS, _DETAIL_BYTES_PER_S = 2_000, 150_000


#: Number of the latest message, and seconds since the run was created.
_SNAPSHOT_HEAD = struct.Struct("<If")


class Feed:
    """Follows a run for one widget.

    Parameters
    ----------
    run
        What is shown.
    view
        How it stands at the beginning.
    send
        Sends one message to the browser; called from several threads, one at a time.
    changed
        Called in another thread, with the view, whenever the flow itself or the run's status is
        another than before.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        run: Followed,
        view: RunView,
        send: Send,
        changed: Callable[[RunView], None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._changed = changed
        self._clock = clock
        self.channel = Channel(send, time.monotonic)
        self.desk = Desk("nbflow-panel-desk")
        # Guards what the watcher, the desk and clicks share.
        self._lock = threading.RLock()
        self._tracker, self._tally, self._workers = Tracker(_SWEEP_S), Tally(), Workers()
        self._dirty: dict[str, None] = {}
        self._all_asked = False
        self._index: dict[str, int] = {}
        self._look: tuple[object, ...] = ()
        #: The latest document of each kind that was sent.
        self._told: dict[str, bytes] = {}
        self._told_facts: tuple[object, ...] = ()
        self._summary_at = 0.0
        #: The latest diagnosis.
        self.diagnosis: Diagnosis | None = None
        self._details = Details(run)
        self._choice: Choice | None = None
        self._diagnosis_due, self._detail_due = 0.0, 0.0
        self._final_asked = False
        self._closed = False
        self._absorb(view)
        self._watcher = self._watch()

    @property
    def live(self) -> bool:
        """Whether the run is still being followed."""
        return self._watcher.alive

    @property
    def error(self) -> Exception | None:
        """What has ended the following before its time."""
        return self._watcher.error

    def start(self) -> None:
        """Begin to follow the run."""
        self._watcher.start()

    def wake(self) -> None:
        """Follow the run again, if it goes on after an end."""
        with self._lock:
            if not self._closed and not self._watcher.alive:
                self._watcher = self._watch()
                self._watcher.start()

    def close(self) -> None:
        """Stop following; both threads have ended then."""
        with self._lock:
            self._closed = True
        self._watcher.stop()
        self.desk.close()

    def names(self) -> list[str]:
        """Return the nodes by their numbers."""
        with self._lock:
            return list(self._index)

    def snapshot(self) -> bytes:
        """Return the number of the latest message, the present, and the records of all nodes."""
        with self._lock:
            # The number comes first: what happens while the rest is made is told again.
            seq, view = self.channel.seq, self._run.view()
            head = _SNAPSHOT_HEAD.pack(seq, self._now(view))
            return head + pack(view, self._index, self._index, self._workers)

    def summary(self) -> bytes:
        """Return the latest summary, as JSON."""
        view = self._run.view()
        with self._lock:
            return self._summarized(view)

    # --- what a front end says ----------------------------------------------------------------

    def heard(self, seq: int | None = None) -> None:
        """Take note that a front end has received messages up to `seq`; None is all of them."""
        self.channel.heard(seq)

    def greet(self) -> None:
        """Say again what is no part of the widget's state: somebody is new."""
        self._say_again(records=False)

    def ask_all(self) -> None:
        """Say everything again: somebody has missed something."""
        self._say_again(records=True)

    def _say_again(self, *, records: bool) -> None:
        self.channel.heard()
        with self._lock:
            self._all_asked |= records
            self._told.clear()
            self._diagnosis_due = self._detail_due = 0.0
        self._once()

    def choose(self, number: int, tab: Tab) -> None:
        """Send the content of this tab of a node from now on; a negative number is none."""
        with self._lock:
            names = list(self._index)
            known = 0 <= number < len(names)
            self._choice = Choice(names[number], tab) if known else None
            self._told.pop("detail", None)
            self._detail_due = 0.0
        self._once()

    def _once(self) -> None:
        """Answer although nothing moves any more."""
        if not self._watcher.alive and not self._closed:
            self.desk.ask("look", lambda: self._paint(self._run.view()))

    # --- the watcher's thread -----------------------------------------------------------------

    def _watch(self) -> Watcher:
        return Watcher(
            self._run.view,
            self._run.wait_changed,
            self._paint,
            interval_s=_INTERVAL_S,
            idle_s=_IDLE_S,
            name="nbflow-panel",
            failed=self._tell_failure,
        )

    def _paint(self, view: RunView) -> None:
        with self._lock:
            self._absorb(view)
            if self.channel.open:
                self._send_records(view)
                self._send_summary(view)
                self._ask_slow(view)
                if self.channel.quiet_s >= _BEAT_S and view.driven:
                    self.channel.send("beat", {"now": self._now(view)})

    def _absorb(self, view: RunView) -> None:
        look = (id(view.run.graph), shown_status(view))
        if look != self._look:
            before, self._look = self._look, look
            self._final_asked = False
            if not before or look[0] != before[0]:
                self._index = {name: number for number, name in enumerate(view.run.graph.nodes)}
                self._tracker, self._tally = Tracker(_SWEEP_S), Tally()
                self._dirty.clear()
                self._all_asked = bool(before)
            if before:
                self._changed(view)
        changes = self._tracker.changes(view, time.monotonic())
        self._tally.update(view, changes)
        self._dirty.update((name, None) for name, _ in changes)

    def _send_records(self, view: RunView) -> None:
        if self._all_asked:
            names: Sequence[str] = list(self._index)
        else:
            names = list(self._dirty)[:_MAX_RECORDS]
        if not names:
            return
        records = pack(view, names, self._index, self._workers)
        self.channel.send("records", {"now": self._now(view), "all": self._all_asked}, [records])
        self._all_asked = False
        for name in names:
            self._dirty.pop(name, None)

    def _send_summary(self, view: RunView) -> None:
        summary = self._summarized(view)
        told = self._told.get("summary")
        if summary == told:
            return
        # Costs grow all the time, and counts nearly; everything else is told at once.
        facts = (self._look, view.driven, view.dashboard, view.notes)
        at = time.monotonic()
        if told and at - self._summary_at < _SUMMARY_S and facts == self._told_facts:
            return
        self._told_facts, self._summary_at, self._told["summary"] = facts, at, summary
        self.channel.send("summary", msgspec.Raw(summary))

    def _summarized(self, view: RunView) -> bytes:
        run, now = view.run, self._clock()
        ended = run.status in RUN_ENDED and run.ended_at is not None
        workers = view.workers
        return msgspec.json.encode(
            {
                "status": str(shown_status(view)),
                "ended": run.ended_at - run.created_at if ended and run.ended_at else None,
                "going": run.status not in RUN_ENDED,
                "driven": view.driven,
                "final": run.status in RUN_ENDED and not view.driven,
                "finished": finished(view),
                "counts": self._tally.counts,
                "addresses": self._workers.addresses,
                "cpu_s": round(self._tally.cpu_s(view)),
                "worker_s": round(self._tally.worker_s(now)),
                "dashboard": view.dashboard,
                "notes": [one_line(note, 300) for note in view.notes[-3:]],
                "workers": None
                if workers is None
                else [
                    [each.address, each.name, each.dashboard, each.threads, each.paused]
                    for each in workers
                ],
            }
        )

    def _now(self, view: RunView) -> float:
        return self._clock() - view.run.created_at

    def _tell_failure(self, error: Exception) -> None:
        self.channel.send("stopped", one_line(f"{type(error).__name__}: {error}", 300))

    # --- the desk -----------------------------------------------------------------------------

    def _ask_slow(self, view: RunView) -> None:
        now = time.monotonic()
        # The last look must not be missed because another one is under way.
        last = not view.driven and not self._final_asked
        self._final_asked = not view.driven
        if last or now >= self._diagnosis_due:
            # Put off until it has been done, so that it is not asked for twice.
            self._diagnosis_due = math.inf
            self.desk.ask("diagnosis", self._diagnose)
        if self._choice is not None and (last or now >= self._detail_due):
            self._detail_due = math.inf
            self.desk.ask("detail", self._tell_detail)

    def _diagnose(self) -> None:
        began = time.monotonic()
        try:
            self.diagnosis = self._run.diagnose()
        except Exception as error:  # noqa: BLE001 - a panel without a diagnosis is better than none
            document = {"problem": one_line(f"{type(error).__name__}: {error}", 300)}
        else:
            document = self._diagnosis_document(self.diagnosis)
        self._send_if_new("diagnosis", document)
        self._diagnosis_due = _next(began, _DIAGNOSIS_S)

    def _diagnosis_document(self, diagnosis: Diagnosis) -> dict[str, Any]:
        index, remaining = self._index, diagnosis.remaining
        return {
            "findings": finding_documents(diagnosis, index)[:50],
            "more": max(0, len(diagnosis.findings) - 50),
            "activities": {
                str(index[each.node]): one_line(each.text, 200)
                for each in diagnosis.activities[:500]
                if each.node in index
            },
            "remaining": None
            if remaining is None
            else [round(remaining.likely_s), round(remaining.low_s), round(remaining.high_s)],
            "critical": [index[name] for name in diagnosis.critical_path if name in index],
            "resources": msgspec.to_builtins(diagnosis.resources),
        }

    def _tell_detail(self) -> None:
        choice, began = self._choice, time.monotonic()
        if choice is None:
            return
        size = 0
        try:
            view = self._run.view()
            document = self._details.of(choice, view, self.diagnosis)
        except Exception as error:  # noqa: BLE001 - it is said in the tab's place
            problem = one_line(f"{type(error).__name__}: {error}", 300)
            document = {"node": choice.node, "tab": choice.tab, "problem": problem}
        if choice is self._choice:
            document["index"] = self._index.get(choice.node, -1)
            size = self._send_if_new("detail", document)
        self._detail_due = _next(began, max(_DETAIL_S, size / _DETAIL_BYTES_PER_S))

    def _send_if_new(self, kind: str, document: dict[str, Any]) -> int:
        """Send `document` if it is another than the last; return how many bytes went."""
        data = msgspec.json.encode(document)
        with self._lock:
            if data == self._told.get(kind) or not self.channel.open:
                return 0
            self._told[kind] = data
            self.channel.send(kind, msgspec.Raw(data))
        return len(data)


def _next(began: float, least_s: float) -> float:
    """Return when to begin again: not before the work has taken a small share of the time."""
    now = time.monotonic()
    return now + max(least_s, _REST * (now - began))
