"""A run without a driver that a panel can show: it answers questions, and remembers requests."""

import json
from pathlib import Path

import msgspec
from staged_run import StagedRun

from nbflow.core import events as ev
from nbflow.core.findings import Diagnosis
from nbflow.core.usage import Usage
from nbflow.core.view import RunView


class Line(msgspec.Struct):
    text: str
    stream: str = "stdout"
    cell: int = 0
    at: float = 0.0


class Node:
    """What a panel asks of a node's handle."""

    def __init__(self, path):
        self.notebook_path = path

    @property
    def notebook_bytes(self):
        path = self.notebook_path
        return path.read_bytes() if path is not None and path.is_file() else None


class ShownRun(StagedRun):
    """`diagnosis`, `lines` and `notebooks` are what it answers; `asked` what it was asked for."""

    def __init__(self, *nodes, **options):
        self.records = []
        super().__init__(*nodes, **options)
        self.id = self.run.id
        self.asked = []
        self.refusal = None
        self.diagnosis = Diagnosis(run_id=self.id, status="running")
        self.lines = {}
        self.notebooks = {}
        self.usage = {}
        self.stacks = {}
        self.workers = None
        self.dashboard = ""

    def view(self):
        return RunView(
            self.run,
            dict(self.progress),
            usage=dict(self.usage),
            stacks=self.stacks,
            workers=self.workers,
            dashboard=self.dashboard,
            notes=self.notes,
            driven=self.driven,
        )

    def _apply(self, event):
        commands = super()._apply(event)
        self.records.append(ev.Record(self.run.id, self.run.seq, 1, self.now, event))
        return commands

    def __getitem__(self, node):
        return Node(self.notebooks.get(node))

    def diagnose(self):
        return self.diagnosis

    def log_lines(self, node, last):
        return tuple(self.lines.get(node, ()))[-last:]

    def events(self):
        return list(self.records)

    def use(self, name, cpu, memory, **more):
        """Give the node one more sample."""
        self.now += 1
        sample = Usage(at=self.now, cpu_percent=cpu, memory_bytes=memory, **more)
        self.usage[name] = (*self.usage.get(name, ()), sample)
        self._wake()
        return self

    def keep_notebook(self, name, path, *cells):
        """Write an executed notebook; each cell is (source, status, outputs)."""
        document = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "source": source,
                    "metadata": {"papermill": {"status": status, "duration": 1.5}},
                    "outputs": outputs,
                }
                for source, status, outputs in cells
            ],
        }
        Path(path).write_text(json.dumps(document))
        self.notebooks[name] = Path(path)
        return self

    def cancel(self):
        self._ask("cancel")
        self.do(ev.CancelRequested("a click"))

    def resume(self, *names, begin_at=(), wait=True, **options):
        if names or options:
            return super().resume(*names, **options)
        self._ask("resume", *begin_at)
        assert not wait
        failed = [name for name, node in self.run.nodes.items() if not node.has_result]
        return super().resume(*begin_at, *(name for name in failed if name not in begin_at))

    def resolve(self, node, verdict):
        self._ask("resolve", node, verdict)

    def _ask(self, *what):
        self.asked.append(what)
        if self.refusal is not None:
            raise self.refusal

    def _wake(self):
        with self._changed:
            self._changed.notify_all()
