# noqa: INP001 - a target of the command line, not a module of a package
"""The pipeline of `flow.yaml`, written in Python, with a function as its last node.

Run it with ``nbflow run flow.py:flow -o out``.
"""

from pathlib import Path
from typing import Any

import nbflow

flow = nbflow.Flow(
    "diagnosis",
    params={"share": 1.0, "test_size": 0.3, "required_recall": 0.9, "seed": 7},
    defaults={"retries": nbflow.Retry(1, backoff=2.0), "timeout": nbflow.Timeout(hard=300)},
    limits={"models": 2},
    base_dir=Path(__file__).parent,
)
seed = flow.param("seed")
required_recall = flow.param("required_recall")

load = flow.notebook("load.ipynb", params={"share": flow.param("share"), "seed": seed})
clean = flow.notebook(
    "clean.ipynb",
    params={"patients": load["patients"], "test_size": flow.param("test_size"), "seed": seed},
)

forest = flow.notebook(
    "forest.ipynb",
    name="models/forest",
    params={"train": clean["train"], "seed": seed},
    priority=10,
)
linear = flow.notebook(
    "linear.ipynb",
    name="models/linear",
    params={"train": clean["train"], "seed": seed},
)
models = {"forest": forest, "linear": linear}

compare = flow.notebook(
    "compare.ipynb",
    params={"scores": {name: node["scores"] for name, node in models.items()}},
    outputs=["ranking"],
)
report = flow.notebook(
    "report.ipynb",
    params={
        "test": clean["test"],
        "models": {name: node["model"] for name, node in models.items()},
        "best": compare["best"],
        "required_recall": required_recall,
        "seed": seed,
    },
)


@flow.task
def verdict(summary: Any = report["summary"], required: Any = required_recall) -> str:
    """Say whether the best model may go on to the next study."""
    decision = "goes on" if summary["recall"] >= required else "does not go on"
    return f"{summary['model']} {decision}: recall {summary['recall']:.1%}"
