"""Reports on staged runs, also on one whose every text is hostile; and pages, as they are read."""

from html.parser import HTMLParser

from diagnosed_run import activity, diagnosis, finding, seen
from msgspec.structs import replace
from staged_run import StagedRun, node

from nbflow.core import events as ev
from nbflow.core.findings import Diagnosis
from nbflow.core.values import Artifact, Inline, Secret
from nbflow.drawing.report import Failure, Report

#: Closed at once, as HTML has them.
VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """The page as a browser reads it: its elements and texts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and "script" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


class Told(StagedRun):
    """A staged run that keeps its records."""

    def __init__(self, *nodes, **fields):
        self.records = []
        super().__init__(*nodes, **fields)

    def _apply(self, event):
        commands = super()._apply(event)
        self.records.append(ev.Record(self.run.id, self.run.seq, 1, self.now, event))
        return commands


def report(stage, **fields):
    fields = {
        "view": stage.view(),
        "records": tuple(stage.records),
        "diagnosis": Diagnosis(run_id="sales-1", status="running"),
        "made_at": stage.now,
        **fields,
    }
    return Report(**fields)


EVIL = (
    "<script>window.broken=1</script>",
    '<img src=x onerror="window.broken=1">',
    '"><svg onload="document.title=\'evil\'">',
    "'><a href=javascript:window.broken=1>",
    "</pre></title></style></svg><script>window.broken=1</script>",
    "\x1b[2J\x00\u202eevil\u202c",
)


def evil_report(evil):
    """A report in which everything that can be foreign is `evil`."""
    load = replace(node("load"), code=replace(node("load").code, path=f"/nb/{evil}"))
    stage = Told(load, node("train", "load.rows"), node("other"), name=evil)
    stage.run = replace(
        stage.run, params={evil: Inline(evil), "s": Secret("env:TOKEN")}, given=(evil,)
    )
    stage.start("load", worker=evil)
    stage.do(
        ev.AttemptSucceeded(
            "load",
            1,
            1_002.0,
            1_006.0,
            {evil: Inline({evil: evil}), "b": Artifact("pickle", evil, 5, evil, evil)},
        )
    )
    stage.fail("train", evil, cell=2)
    stage.start("other").cell("other", 1, 2, 1, evil)
    found = diagnosis(
        finding(evil, summary=evil, suggestions=(evil,), evidence={evil: [evil]}, logs=(evil,)),
        activities=[activity(evil, text=evil)],
    )
    failure = Failure(
        node=evil,
        reason=evil,
        attempts=2,
        error=ev.ErrorInfo(evil, evil, 1, evil),
        source=evil,
        inputs=((evil, evil),),
        logs=(evil,),
        suggestions=(evil,),
        notebook=evil,
    )
    view = seen(stage, notes=(evil,), dashboard=evil)
    return report(
        stage,
        view=view,
        diagnosis=found,
        failures=(failure,),
        versions=((evil, evil),),
        problems=(evil,),
        next_step=evil,
        zone=evil,
    )
