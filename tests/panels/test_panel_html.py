from html.parser import HTMLParser

import msgspec
import pytest
from staged_run import StagedRun, node

from nbflow.core.events import CancelRequested
from nbflow.core.findings import Finding, FindingKind
from nbflow.panels import panel_html
from nbflow.panels.html import header_html, table_html

HOSTILE = '<img src=x onerror="alert(1)">\'&amp;</td><script>x</script>'


class Page(HTMLParser):
    """Tags, attributes and text of a fragment; unclosed or crossed tags are an error."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.rows, self._open = [], [], [], []
        self.text = ""
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


@pytest.fixture
def stage():
    return StagedRun()


def rows(stage, **options):
    found = Page(table_html(stage.view(), stage.now, **options)).rows
    return {row[1]: [cell.strip() for cell in row] for row in found[1:]}


def test_the_whole_panel_is_well_formed_and_stands_alone(stage):
    page = Page(panel_html(stage.view(), stage.now))
    assert page.tags.count("table") == 1
    assert page.tags.count("style") == 1
    assert not {"script", "link", "img", "iframe"} & set(page.tags)


def test_a_row_says_state_node_cells_time_what_and_worker(stage):
    stage.start("load", worker="tcp://w:1").cell("load", 3, 8, 4, "df = read(path)")
    stage.now += 4
    assert rows(stage)["load"] == [
        "▶ running",
        "load",
        "3/8",
        "5.0 s",
        "cell 4: df = read(path)",
        "w:1",
    ]


def test_rows_stand_in_the_order_of_the_flow(stage):
    stage.succeed("load").fail("right")
    assert list(rows(stage)) == ["load", "left", "right", "join", "report"]


def test_a_bar_is_as_long_as_the_share_of_cells(stage):
    stage.start("load").cell("load", 2, 8, 3)
    page = Page(table_html(stage.view(), stage.now))
    assert ("style", "width:25%") in page.attributes


def test_later_tries_are_numbered():
    stage = StagedRun(node("a", retries=1))
    stage.fail("a").retry_due("a").start("a")
    assert rows(stage)["a"][0] == "▶ running try 2"


def test_a_long_flow_shows_what_matters_and_how_much_more():
    stage = StagedRun(*[node(f"n{i}") for i in range(30)])
    stage.fail("n20").start("n25")
    html = table_html(stage.view(), stage.now, max_rows=3)
    assert list(rows(stage, max_rows=3)) == ["n20", "n25", "n0"]
    assert "… and 27 more nodes" in html


def test_the_header_sums_up(stage):
    stage.succeed("load").start("left")
    text = Page(header_html(stage.view(), stage.now)).text
    for part in ("sales", "running", "1/5 nodes", "1 succeeded", "1 ready", "2 waiting", "sales-1"):
        assert part in text
    assert "updated" in text


def test_the_time_stops_with_the_run(stage):
    stage.fail("load")
    assert "<span>9.0 s</span>" in header_html(stage.view(), stage.now + 500)


def test_a_run_without_a_driver_reads_interrupted(stage):
    stage.driven = False
    assert "interrupted" in header_html(stage.view(), stage.now)


def test_a_cancelled_run_reads_cancelled(stage):
    stage.do(CancelRequested("me"))
    assert "cancelled" in header_html(stage.view(), stage.now)


def test_foreign_text_stays_text():
    stage = StagedRun(name=HOSTILE, run_id="r")
    stage.notes = (HOSTILE,)
    stage.start("load", worker=HOSTILE).cell("load", 1, 2, 1, HOSTILE)
    running = Page(panel_html(stage.view(), stage.now))
    stage.fail("load", HOSTILE)
    failed = Page(panel_html(stage.view(), stage.now))
    for page in (running, failed):
        assert page.text.count("<script>x</script>") >= 2
        assert not {"script", "img"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("address", "linked"),
    [
        ("http://127.0.0.1:8787/status", True),
        ("https://dask.example/status", True),
        ("javascript:alert(1)", False),
        ('http://x" onclick="y', True),
    ],
)
def test_only_web_addresses_become_links(stage, address, linked):
    view = msgspec.structs.replace(stage.view(), dashboard=address)
    page = Page(header_html(view, stage.now))
    assert (("href", address) in page.attributes) is linked
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_findings_are_listed_with_their_next_step(stage):
    finding = Finding(
        node="load",
        kind=FindingKind.BLOCKED_ON_LOCK,
        severity="stuck",
        summary=HOSTILE,
        suggestions=("look", "other"),
    )
    page = Page(panel_html(stage.view(), stage.now, findings=[finding]))
    assert "blocked on lock load: <img src=x" in page.text
    assert "→ look" in page.text
    assert not {"script", "img"} & set(page.tags)


def test_two_hundred_rows_are_a_small_message():
    stage = StagedRun(*[node(f"group/node_{i}") for i in range(5_000)], step_s=0.0)
    assert len(table_html(stage.view(), stage.now)) < 100_000
