"""Runs in a real home, made record by record: no cluster, no driver, and any date."""

from nbflow.core import events as ev
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec, NotebookCode
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Inline

DAY_S = 86_400.0


class StoredRun:
    """One run of a notebook ``load`` and a function ``train``.

    Parameters
    ----------
    home
        Open.
    run, flow
        Their names.
    at
        When it was created, in seconds since the epoch. Each record comes a second later.
    fields
        More of `RunCreated`.
    """

    def __init__(self, home, run, *, flow="sales", at=1_000_000.0, **fields):
        self.home, self.id, self.at = home, run, at
        self.book = home.store.put(b'{"cells": []}', "notebook")
        self.function = home.store.put(f"function of {flow}".encode(), "pickle")
        nodes = (
            NodeSpec(name="load", code=NotebookCode("/nb/load.ipynb", self.book.digest)),
            NodeSpec(
                name="train", code=FunctionCode("m.train", self.function.digest), after=("load",)
            ),
        )
        spec = FlowSpec(name=flow, nodes=nodes)
        folder = str(home.runs_folder(run))
        home.runs_folder(run).mkdir(parents=True)
        created = ev.RunCreated(spec, {"date": Inline("2026-01-01")}, folder, **fields)
        home.journal.create(run, created, flow=flow, at=at)
        self.epoch = home.journal.claim(run, "elsewhere:1:1.00", now=at, ttl_s=60)
        self.seq = 1
        self.do(ev.RunClaimed("elsewhere:1:1.00"))

    def do(self, *events):
        records = []
        for event in events:
            self.seq += 1
            self.at += 1
            records.append(ev.Record(self.id, self.seq, self.epoch, self.at, event))
        self.home.journal.append(self.id, self.epoch, records)

    def succeed(self, node, outputs=(), notebook=None, *between):
        """Let a node run; `outputs` are bytes by name. Return the artifacts."""
        stored = {name: self.home.store.put(data, "pickle") for name, data in dict(outputs).items()}
        executed = None if notebook is None else self.home.store.put(notebook, "notebook")
        self.do(
            ev.AttemptScheduled(node, 1),
            ev.AttemptStarted(node, 1, "w1", self.at),
            *between,
            ev.AttemptSucceeded(node, 1, self.at, self.at + 1, stored, executed),
        )
        return stored

    def fail(self, node):
        self.do(
            ev.AttemptScheduled(node, 1),
            ev.AttemptFailed(node, 1, Reason("error", "no")),
        )

    def end(self, status=RunStatus.SUCCEEDED):
        self.do(ev.RunEnded(status))
        self.home.journal.release(self.id, self.epoch)
        return self


def whole_run(home, run, **options):
    """A run that has succeeded: `load` gave an executed notebook, `train` a model."""
    stored = StoredRun(home, run, **options)
    stored.succeed("load", {"rows": f"rows of {run}".encode()}, f"notebook of {run}".encode())
    stored.model = stored.succeed("train", {"model": f"model of {run}".encode() * 9})["model"]
    return stored.end()
