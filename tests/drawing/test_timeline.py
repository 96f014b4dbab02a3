"""What ran when and where, from the story alone."""

import xml.etree.ElementTree as ET

import pytest

from nbflow.core import events as ev
from nbflow.core.states import Reason
from nbflow.drawing.timeline import Bar, bars_of, lanes_of
from nbflow.drawing.timeline_axis import axis_of
from nbflow.drawing.timeline_svg import draw_timeline

GONE = Reason("worker_lost", "gone")


def story(*told):
    """Records of (time, event) pairs."""
    return [ev.Record("r", seq, 1, at, event) for seq, (at, event) in enumerate(told, start=1)]


def bar(node="a", start=0.0, end=10.0, worker="w", queued=None, ending="succeeded"):
    return Bar(node, 1, worker, start if queued is None else queued, start, end, ending)


def test_every_attempt_is_a_bar():
    bars = bars_of(
        story(
            (1.0, ev.AttemptScheduled("a", 1)),
            (3.0, ev.AttemptStarted("a", 1, "w1", 2.0)),
            (9.0, ev.AttemptLost("a", 1, GONE)),
            (9.0, ev.AttemptScheduled("a", 2)),
            (10.0, ev.AttemptStarted("a", 2, "w2", 9.5)),
            (12.0, ev.AttemptFailed("a", 2, GONE, ended_at=11.5)),
            (12.0, ev.AttemptScheduled("b", 1)),
            (13.0, ev.NodeCancelled("b", 1)),
            (13.0, ev.AttemptScheduled("c", 1)),
            (13.0, ev.AttemptSucceeded("c", 1, 14.0, 15.0)),
            (15.0, ev.AttemptScheduled("d", 1)),
            (16.0, ev.AttemptStarted("d", 1, "w1", 16.0)),
        ),
        now=20.0,
    )
    assert bars == [
        Bar("a", 1, "w1", 1.0, 2.0, 9.0, "lost"),
        Bar("a", 2, "w2", 9.0, 9.5, 11.5, "failed"),
        Bar("b", 1, "", 12.0, None, 13.0, "cancelled"),
        Bar("c", 1, "", 13.0, 14.0, 15.0, "succeeded"),
        Bar("d", 1, "w1", 15.0, 16.0, 20.0, "open"),
    ]
    assert [(each.queued_s, each.ran_s) for each in bars[:3]] == [(1, 7), (0.5, 2), (1, 0)]


def test_a_worker_whose_clock_is_behind_did_not_run_before_it_was_asked():
    (only,) = bars_of(
        story(
            (100.0, ev.AttemptScheduled("a", 1)),
            (101.0, ev.AttemptStarted("a", 1, "w", 40.0)),
            (103.0, ev.AttemptSucceeded("a", 1, 40.0, 43.0)),
        ),
        now=0.0,
    )
    assert (only.started_at, only.ended_at) == (100.0, 100.0)


def test_a_worker_has_as_many_lanes_as_it_had_attempts_at_once():
    bars = [
        bar("a", 0, 10, "w1"),
        bar("b", 1, 5, "w1"),
        bar("c", 5, 9, "w1"),
        bar("d", 2, 3, "w2"),
        Bar("e", 1, "", 0.0, None, 9.0, "cancelled"),
    ]
    lanes = lanes_of(bars)
    assert [(lane.worker, [it.node for it in lane.bars]) for lane in lanes] == [
        ("w1", ["a"]),
        ("w1", ["b", "c"]),
        ("w2", ["d"]),
        ("", ["e"]),
    ]


def test_long_pauses_are_left_out():
    axis = axis_of([(0.0, 10.0), (86_400.0, 86_410.0)], 100.0)
    assert [(it.start, it.end) for it in axis.stretches] == [(0.0, 10.0), (86_400.0, 86_410.0)]
    assert axis.x(0.0) == 0.0
    assert axis.x(10.0) == pytest.approx(48.5)
    assert axis.x(50_000.0) == axis.x(86_400.0) == pytest.approx(51.5)
    assert axis.x(86_410.0) == axis.x(99_999.0) == pytest.approx(100.0)
    assert [cut.text for cut in axis.cuts()] == ["23 h 59 min"]


def test_short_pauses_stay():
    axis = axis_of([(0.0, 10.0), (12.0, 20.0)], 100.0)
    assert len(axis.stretches) == 1
    assert axis.x(15.0) == 75.0


def test_only_so_many_pauses_are_left_out():
    axis = axis_of([(1_000.0 * index, 1_000.0 * index + index) for index in range(50)], 100.0)
    assert len(axis.stretches) <= 9


@pytest.mark.parametrize("length_s", [0.0, 0.004, 0.7, 3.0, 59.0, 4_000.0, 1e5, 4e6])
def test_an_axis_of_any_length_has_some_labels(length_s):
    ticks = list(axis_of([(5.0, 5.0 + length_s)], 100.0).ticks())
    assert 1 <= len(ticks) <= 12
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert all(0 <= tick.x <= 100.0 for tick in ticks)


def test_the_picture_is_well_formed_and_tells_each_bar():
    bars = [bar("a<b>", 0, 10, "tcp://1.2.3.4:5", queued=-3), bar("b", 10, 11, "<w>")]
    root = ET.fromstring(draw_timeline(bars))
    titles = [it.text for it in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "a<b>: succeeded; 3.0 s in the queue, ran 10 s" in titles
    assert "<w>" in titles
    rects = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(rects) == 2
    assert float(rects[0].get("width")) > float(rects[1].get("width")) >= 1.5


def test_waiting_is_not_drawn_over_what_ran_in_the_lane():
    bars = [bar("a", 0, 10), bar("b", 10, 20, queued=0), bar("c", 25, 30, queued=0)]
    root = ET.fromstring(draw_timeline(bars))
    queued = [it for it in root.iter() if it.get("class") == "queued"]
    assert len(queued) == 1, "only c has waited while its lane was free"


def test_many_lanes_are_counted():
    bars = [bar(f"n{index}", 0, 10, f"w{index}") for index in range(400)]
    text = draw_timeline(bars)
    assert text.count("<rect") == 150
    assert "… and 250 more lanes" in text


def test_nothing_ran():
    assert draw_timeline([]) == ""
