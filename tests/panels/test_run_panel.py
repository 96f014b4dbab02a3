"""The panel's widgets and threads, without a browser."""

import threading

import msgspec
import pytest
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets.widgets.widget import _instances
from shown_run import Line, ShownRun
from traitlets.config import Config

from nbflow.core.findings import Diagnosis, Finding, FindingKind, Remaining
from nbflow.panels import RunPanel
from nbflow.panels.wire import RECORD, STATES
from nbflow.session import showing
from nbflow.widgets import ResourceView, StuckView

WAIT_S = 20.0


class Browser:
    """What a front end hears from a widget, and what it says."""

    def __init__(self, widget):
        self._widget = widget
        self._heard = []
        self._changed = threading.Condition()
        widget.send = self._hear

    def _hear(self, content, buffers=None):
        assert content["seq"] > (self._heard[-1]["seq"] if self._heard else 0)
        with self._changed:
            data = msgspec.json.decode(content["j"]) if content["j"] else None
            self._heard.append({**content, "data": data, "buffers": buffers})
            self._changed.notify_all()

    def say(self, **content):
        self._widget._asked(self._widget, content, [])

    def wait(self, kind, wanted=lambda _: True):
        """The latest message of this kind whose content is wanted, once there is one."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._find(kind, wanted), WAIT_S), self._heard
            return self._find(kind, wanted)[-1]

    def count(self):
        with self._changed:
            return len(self._heard)

    def _find(self, kind, wanted):
        return [each for each in self._heard if each["t"] == kind and wanted(each["data"])]

    def wait_records(self, wanted):
        """Wait for the record of a node that is wanted."""

        def has(message):
            return any(wanted(record) for record in RECORD.iter_unpack(message["buffers"][0]))

        with self._changed:
            found = self._changed.wait_for(
                lambda: any(has(each) for each in self._heard if each["t"] == "records"), WAIT_S
            )
        assert found


def state(record):
    return str(STATES[record[1]])


@pytest.fixture
def stage():
    return ShownRun()


@pytest.fixture
def panel(stage):
    panel = RunPanel(stage, clock=stage.clock)
    yield panel
    panel.close()
    assert [
        each.name for each in threading.enumerate() if each.name.startswith("nbflow-panel")
    ] == []


@pytest.fixture
def browser(panel):
    return Browser(panel.widget)


def test_what_changes_is_sent_from_a_thread_of_its_own(stage, panel, browser):
    stage.start("load").cell("load", 3, 8, 4, "fit()").use("load", 150, 200 * 2**20)
    browser.wait_records(
        lambda r: r[0] == 0 and state(r) == "running" and r[3:5] == (3, 8) and r[6] == 150
    )
    browser.wait("summary", lambda data: data["counts"][STATES.index("running")] == 1)
    assert panel.live


def test_only_what_has_changed_is_sent(stage, browser):
    browser.say(t="all")
    browser.wait("records", lambda data: data["all"])
    stage.start("load")
    message = browser.wait("records", lambda data: not data["all"])
    assert [record[0] for record in RECORD.iter_unpack(message["buffers"][0])] == [0]


def test_a_page_that_opens_gets_all_of_it_as_state(stage, panel):
    stage.succeed("load").start("left")
    state_now = panel.widget.get_state()
    records = list(RECORD.iter_unpack(state_now["snapshot"][8:]))
    assert [state(record) for record in records] == [
        "succeeded",
        "running",
        "ready",
        "waiting",
        "waiting",
    ]
    structure = msgspec.json.decode(state_now["structure"])
    assert structure["names"] == ["load", "left", "right", "join", "report"]
    assert structure["looks"][STATES.index("failed")]["glyph"] == "✕"
    assert len(msgspec.json.decode(state_now["picture"])["boxes"]) == 5


def test_a_tab_of_the_chosen_node_is_kept_up_to_date(stage, browser):
    stage.lines["load"] = [Line("one")]
    browser.say(t="choose", index=0, tab="logs")
    first = browser.wait("detail")["data"]
    assert [line["text"] for line in first["lines"]] == ["one"]
    stage.lines["load"].append(Line("\x1b[31mtwo\x1b[0m", "stderr", 3))
    second = browser.wait("detail", lambda data: len(data["lines"]) == 2)["data"]
    assert second["lines"][1] == {"text": "two", "stream": "stderr", "cell": 3, "at": 0.0}
    browser.say(t="choose", index=0, tab="story")
    assert browser.wait("detail", lambda data: data["tab"] == "story")["data"]["story"] == []


def test_a_flood_of_lines_is_cut(stage, browser):
    stage.lines["load"] = [Line("x" * 10_000)] * 5_000
    browser.say(t="choose", index=0, tab="logs")
    message = browser.wait("detail")
    assert len(message["data"]["lines"]) == 300
    assert len(message["j"]) < 200_000


def test_a_diagnosis_comes_with_numbers_of_nodes(stage, browser):
    finding = Finding(
        node="right",
        kind=FindingKind.FAILED,
        severity="failed",
        summary="right failed",
        suggestions=("mend it",),
    )
    stage.diagnosis = Diagnosis(
        run_id=stage.id,
        status="running",
        findings=(finding,),
        critical_path=("load", "join"),
        remaining=Remaining(likely_s=60, low_s=30, high_s=90),
    )
    browser.say(t="hello")
    data = browser.wait("diagnosis", lambda data: data["findings"])["data"]
    assert data["critical"] == [0, 3]
    assert data["remaining"] == [60, 30, 90]
    assert data["findings"][0]["index"] == 2
    assert data["findings"][0]["suggestions"] == ["mend it"]


def test_a_diagnosis_that_breaks_is_said_and_costs_nothing_else(stage, browser):
    stage.diagnose = lambda: 1 / 0
    browser.say(t="hello")
    problem = browser.wait("diagnosis", lambda data: "problem" in data)["data"]["problem"]
    assert problem == "ZeroDivisionError: division by zero"
    stage.start("load")
    browser.wait_records(lambda r: state(r) == "running")


def test_a_click_is_acknowledged_twice(stage, browser):
    browser.say(t="act", id="1", action="cancel")
    browser.wait("ack", lambda data: data == {"id": "1", "phase": "taken", "text": ""})
    browser.wait("ack", lambda data: data["phase"] == "done")
    assert stage.asked == [("cancel",)]
    browser.wait("summary", lambda data: data["status"] == "cancelled")


def test_a_click_that_is_refused_says_why(stage, browser):
    stage.refusal = OSError("the journal is full")
    browser.say(t="act", id="1", action="cancel")
    refused = browser.wait("ack", lambda data: data["phase"] == "refused")["data"]
    assert refused["text"] == "OSError: the journal is full"


def test_a_decision_names_its_node(stage, browser):
    browser.say(t="act", id="1", action="resolve", index=2, verdict="failed")
    browser.wait("ack", lambda data: data["phase"] == "done")
    assert stage.asked == [("resolve", "right", "failed")]


def test_what_no_panel_says_does_nothing(stage, panel, browser):
    for content in ({"t": "act", "id": "1", "action": "format_disk"}, {"t": "choose"}, "?", None):
        panel.widget._asked(panel.widget, content, [])
    browser.say(t="choose", index=99, tab="overview")
    stage.start("load")
    browser.wait_records(lambda r: state(r) == "running")
    assert stage.asked == []


def test_a_panel_follows_a_run_that_goes_on_after_its_end(stage, panel, browser):
    stage.fail("load")
    browser.wait("summary", lambda data: data["final"])
    panel.widget.feed._watcher._thread.join(WAIT_S)
    assert not panel.live
    browser.say(t="choose", index=0, tab="story")
    assert browser.wait("detail")["data"]["story"][-1]["type"] == "AttemptFailed"
    browser.say(t="act", id="1", action="retry", index=0)
    browser.wait("ack", lambda data: data["phase"] == "done")
    assert stage.asked == [("resume", "load")]
    stage.start("load")
    browser.wait_records(lambda r: r[0] == 0 and state(r) == "running" and r[5] == 2)
    assert panel.live


def test_a_browser_that_does_not_answer_gets_no_more(stage, panel, browser):
    panel.widget.feed.channel.answers_come = True
    browser.say(t="all")
    for _ in range(200):
        panel.widget.feed.channel.send("beat", {"now": 0})
    sent = browser.count()
    stage.start("load").succeed("load")
    panel.widget.feed._paint(stage.view())
    assert browser.count() == sent
    browser.say(t="all")
    browser.wait_records(lambda r: r[0] == 0 and state(r) == "succeeded")


def test_a_view_that_breaks_is_shown_as_such(stage, browser):
    stage.run = None
    assert "AttributeError" in browser.wait("stopped")["data"]


def test_it_displays_as_a_widget_with_a_snapshot_beside(panel):
    bundle = panel._repr_mimebundle_(include=None, exclude=None)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel.widget.model_id
    assert "<table>" in bundle["text/html"]
    assert bundle["text/plain"] == "run sales-1: running, 0/5 nodes"


@pytest.fixture
def shown():
    """What is displayed: the latest data of each display, by its id."""
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    latest = {}

    def publish(data, metadata=None, *, transient, update=False):
        assert update == (transient["display_id"] in latest)
        latest[transient["display_id"]] = data

    shell.display_pub.publish = publish
    yield latest
    InteractiveShell.clear_instance()


def test_the_snapshots_that_a_notebook_keeps_are_replaced_when_the_run_ends(stage, panel, shown):
    panel._ipython_display_()
    panel._ipython_display_()
    assert ["1 ready" in kept["text/html"] for kept in shown.values()] == [True, True]
    stage.fail("load")
    panel.widget.feed._watcher._thread.join(WAIT_S)
    assert len(shown) == 2
    for kept in shown.values():
        assert "ValueError: bad input" in kept["text/html"]
        assert kept["text/plain"] == "run sales-1: failed, 5/5 nodes"
        assert "application/vnd.jupyter.widget-view+json" in kept


def test_a_closed_panel_leaves_a_snapshot_and_no_widget(stage):
    before = set(_instances)
    panel = RunPanel(stage, clock=stage.clock)
    panel.close()
    assert not panel.live
    assert panel.closed
    assert set(_instances) == before
    assert list(panel._repr_mimebundle_()) == ["text/html", "text/plain"]
    panel.close()


@pytest.mark.parametrize("make", [showing.progress, ResourceView, StuckView])
def test_the_parts_are_ordinary_widgets_that_leave_nothing(stage, make):
    before, threads = set(_instances), threading.active_count()
    widget = make(stage)
    assert widget.piece in ("progress", "resources", "stuck")
    assert widget.get_view_spec()["model_id"] == widget.model_id
    widget.close()
    assert set(_instances) == before
    assert threading.active_count() == threads
