"""A report in a real browser: it runs nothing of what a notebook has written, and needs nothing."""

import pytest
from told_run import EVIL, Page, evil_report

from nbflow.drawing.report import report_html


@pytest.mark.parametrize("policy", ["with", "without"])
def test_nothing_foreign_runs_and_nothing_is_fetched(browser, tmp_path, policy):
    paths = []
    for number, evil in enumerate(EVIL):
        text = report_html(evil_report(evil))
        if policy == "without":  # what is escaped needs none
            text = text.replace("Content-Security-Policy", "nothing")
        paths.append(tmp_path / f"{number}.html")
        paths[-1].write_text(text, encoding="utf-8")
    tab = browser.new_page()
    asked, errors = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    for path in paths:
        tab.goto(path.as_uri())
        assert tab.evaluate("window.broken") is None
        assert tab.evaluate("document.scripts.length") == 1
        assert tab.evaluate("document.images.length") == 0
    assert asked == [path.as_uri() for path in paths]
    assert errors == []


def test_tables_are_sorted_and_events_found(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report_html(evil_report("harmless")), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(path.as_uri())
    names = "[...document.querySelectorAll('#nodes tbody tr td:first-child')].map(c => c.innerText)"
    assert tab.evaluate(names) == ["load", "train", "other"]
    tab.click("#nodes th >> text=node")
    assert tab.evaluate(names) == ["load", "other", "train"]
    tab.press("#nodes th >> text=node", "Enter")
    assert tab.evaluate(names) == ["train", "other", "load"]
    tab.fill("input[type=search]", "AttemptFailed")
    rows = "[...document.querySelectorAll('#events tbody tr')].filter(r => !r.hidden).length"
    assert tab.evaluate(rows) == 1


def test_without_scripts_all_is_there():
    page = Page(report_html(evil_report("harmless")))
    assert "AttemptFailed" in page.text
