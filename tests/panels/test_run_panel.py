"""The panel's widgets and its thread, without a browser."""

import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from ipywidgets.widgets.widget import _instances
from staged_run import StagedRun
from traitlets.config import Config

from nbflow.panels import RunPanel

WAIT_S = 20.0


@pytest.fixture
def stage():
    return StagedRun()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def panel(stage, asked):
    panel = RunPanel(stage.view, stage.wait_changed, lambda: asked.append(1), clock=stage.clock)
    yield panel
    panel.close()


def until(widget, trait, wanted):
    """Wait until the panel's thread has given a trait of a widget a value that is wanted."""
    reached = threading.Event()

    def look(_=None):
        if wanted(getattr(widget, trait)):
            reached.set()

    widget.observe(look, trait)
    look()
    assert reached.wait(WAIT_S), getattr(widget, trait)
    widget.unobserve(look, trait)


def test_the_table_follows_the_run_from_its_own_thread(stage, panel):
    assert "1 ready" in panel._header.value
    stage.start("load").cell("load", 3, 8, 4, "fit()")
    until(panel._table, "value", lambda html: "3/8" in html and "cell 4: fit()" in html)
    assert panel.live


def test_the_thread_ends_with_the_run_and_the_last_state_is_shown(stage, panel):
    stage.fail("load")
    until(panel._button, "disabled", bool)
    panel._watcher._thread.join(WAIT_S)
    assert not panel.live
    assert "failed" in panel._header.value


def test_the_thread_does_not_keep_the_process_alive(panel):
    assert panel._watcher._thread.daemon


def test_a_click_asks_once_and_says_so(stage, panel, asked):
    panel._button.click()
    assert asked == [1]
    assert panel._button.disabled
    assert panel._button.description == "Cancelling"
    stage.start("load")
    until(panel._table, "value", lambda html: "running" in html)
    assert panel._button.disabled, "it stays asked for while the run goes on"


def test_a_click_that_fails_may_be_repeated(stage):
    def refuse():
        raise OSError("journal is full")

    panel = RunPanel(stage.view, stage.wait_changed, refuse, clock=stage.clock)
    with pytest.raises(OSError, match="journal is full"):
        panel._clicked(panel._button)
    assert not panel._button.disabled
    panel.close()


def test_a_run_that_has_ended_cannot_be_cancelled(stage):
    stage.fail("load")
    panel = RunPanel(stage.view, stage.wait_changed, lambda: None, clock=stage.clock)
    assert panel._button.disabled
    assert panel._button.description == "Cancel"
    panel.close()


def test_it_displays_as_a_widget_with_a_snapshot_beside(stage, panel):
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
    panel._watcher._thread.join(WAIT_S)
    assert len(shown) == 2
    for kept in shown.values():
        assert "ValueError: bad input" in kept["text/html"]
        assert kept["text/plain"] == "run sales-1: failed, 5/5 nodes"
        assert "application/vnd.jupyter.widget-view+json" in kept


def test_a_view_that_breaks_is_shown_as_such(stage, asked):
    views = [stage.view()]
    panel = RunPanel(views.pop, stage.wait_changed, lambda: None, clock=stage.clock)
    until(panel._header, "value", lambda html: "the panel has stopped: IndexError" in html)
    assert "sales" in panel._header.value
    panel.close()


def test_a_closed_panel_leaves_a_snapshot_and_no_widget(stage):
    before = set(_instances)
    panel = RunPanel(stage.view, stage.wait_changed, lambda: None, clock=stage.clock)
    panel.close()
    assert not panel.live
    assert set(_instances) == before
    assert list(panel._repr_mimebundle_()) == ["text/html", "text/plain"]
    panel.close()
