"""A report: it tells what there is to tell, and nothing of a run's texts is markup in it."""

import html
from base64 import b64encode
from hashlib import sha256

import pytest
from diagnosed_run import WORKERS, activity, diagnosis, finding, seen, usage
from staged_run import node
from told_run import EVIL, Page, Told, evil_report, report

from nbflow.core import events as ev
from nbflow.core.usage import UsageSum
from nbflow.core.values import Inline
from nbflow.drawing.report import Failure, report_html
from nbflow.drawing.report_markup import block
from nbflow.drawing.report_nodes import sparkline


@pytest.fixture
def stage():
    return Told(node("load"), node("train", "load.rows", retries=1), node("publish", "train.model"))


def test_a_report_tells_everything(stage):
    stage.start("load")
    stage.do(
        ev.AttemptSucceeded(
            "load",
            1,
            1_002.0,
            1_006.0,
            {"rows": Inline([1, 2])},
            usage=UsageSum(samples=4, cpu_s=3.5, memory_bytes_peak=57_600_000, read_bytes=1_000),
        )
    )
    stage.fail("train", cell=4).retry_due("train").fail("train", cell=4)
    failure = Failure(
        node="train",
        reason="ValueError: bad input",
        attempts=2,
        error=ev.ErrorInfo("ValueError", "bad input", 4, "Traceback\n  \x1b[31mline 1\x1b[0m\n"),
        source="model.fit(rows)",
        inputs=(("p0", "[1, 2]"),),
        logs=("epoch 1", "epoch 2"),
        suggestions=("mend the cell",),
        notebook="/out/train.ipynb",
    )
    view = seen(stage, usage={"load": usage(10.0, 90.0)}, workers=WORKERS)
    page = Page(
        report_html(
            report(
                stage,
                view=view,
                failures=(failure,),
                versions=(("nbflow", "1.2.3"),),
                next_step="Continue it with: nbflow resume sales-1",
                zone="CET",
            )
        )
    )
    for told in (
        "sales ✕ failed",
        "train, cell 4, after 2 attempts",
        "model.fit(rows)",
        "Traceback line 1",
        "[1, 2]",
        "epoch 1 epoch 2",
        "mend the cell",
        "rows = [1, 2]",
        "57.6 MB",
        "3.5 s",
        "nbflow 1.2.3",
        "RetryScheduled",
        "publish",
        "skipped",
        "nbflow resume sales-1",
        "CET",
    ):
        assert told in page.text, told
    sections = [attrs["id"] for attrs in page.of("section")]
    assert sections == ["failures", "graph", "timeline", "nodes", "resources", "versions", "story"]
    assert [attrs["href"] for attrs in page.of("a")] == [f"#{name}" for name in sections]
    assert len(page.of("polyline")) == 2, "two samples make a line for CPU and for memory"


def test_findings_come_with_their_evidence_and_steps(stage):
    stage.start("load")
    found = diagnosis(
        finding("load", since_s=75.0, expected_s=20.0, evidence={"call": "futex"}, logs=("hm",)),
        activities=[activity("load", expected_s=20.0)],
    )
    page = Page(report_html(report(stage, diagnosis=found)))
    assert "What is wrong" in page.text
    assert "load blocked_on_lock, for 1 min 15 s, expected 20 s" in page.text
    assert '"call": "futex"' in page.text
    assert "look where it waits: nbflow logs sales-1 load" in page.text
    assert "40 s (30 s to 1 min 00 s)" in page.text
    assert "has not ended" in page.text


def test_what_a_node_that_runs_has_used_so_far_is_told(stage):
    stage.start("load")
    page = Page(report_html(report(stage, view=seen(stage, usage={"load": usage(50.0, 100.0)}))))
    assert "load 75 % 100 % 1.2 GB 1.2 GB" in page.text


def test_a_failure_is_told_once(stage):
    stage.fail("load")
    found = diagnosis(finding("load", severity="failed", summary="told by the diagnosis"))
    failure = Failure(node="load", reason="told by the failure", attempts=1)
    page = Page(report_html(report(stage, diagnosis=found, failures=(failure,))))
    assert "told by the failure" in page.text
    assert "told by the diagnosis" not in page.text
    page = Page(report_html(report(stage, diagnosis=found)))
    assert "told by the diagnosis" in page.text
    assert "… and 1 more failed node" in page.text


def test_a_run_that_has_not_begun_has_a_report(stage):
    page = Page(report_html(report(stage)))
    assert "sales ▶ running" in page.text
    assert "Nobody could look" in page.text


@pytest.mark.parametrize("evil", EVIL)
def test_foreign_text_is_never_markup(evil):
    text = report_html(evil_report(evil))
    harmless = Page(report_html(evil_report("harmless")))
    page = Page(text)
    assert [name for name, _ in page.elements] == [name for name, _ in harmless.elements]
    assert [set(attrs) for _, attrs in page.elements] == [
        set(attrs) for _, attrs in harmless.elements
    ]
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert not [name for name in attributes if name.startswith("on")]
    assert len(page.of("script")) == 1
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert {attrs.get("href", "#")[0] for attrs in page.of("a")} == {"#"}


def test_a_browser_is_told_to_run_nothing_but_our_own_script(stage):
    text = report_html(report(stage))
    script = text.partition("<script>")[2].partition("</script>")[0]
    (policy,) = [
        attrs["content"]
        for attrs in Page(text).of("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy.replace("http-equiv", "")


def test_large_runs_make_pages_of_bounded_size():
    stage = Told(*[node(f"n{index}") for index in range(1_000)])
    for index in range(1_000):
        stage.fail(f"n{index}", "x" * 100_000)
    text = report_html(report(stage))
    page = Page(text)
    assert len(text) < 12_000_000
    assert "1,000 nodes" in page.text, "a graph that large is summed up"
    assert "events after the 500th are left out" in page.text


def test_a_long_block_keeps_its_beginning_and_its_end():
    text = html.unescape(block("a" * 30_000 + "the end"))
    assert text.startswith("aaa")
    assert text.endswith("the end")
    assert "[… 10,007 characters are left out here]" in text


def test_a_line_of_samples_stays_in_its_box():
    assert sparkline([], "x") == sparkline([1.0], "x") == ""
    drawn = sparkline([0.0, 5.0, 10.0], "x")
    assert 'points="0.0,17.0 60.0,9.0 120.0,1.0"' in drawn
    assert "polyline" in sparkline([0.0, 0.0], "x")
