import json

import pytest

from nbflow.core.findings import FindingKind

FLOW = """
import time
import nbflow

flow = nbflow.Flow("cases")


@flow.task
def load(n=3):
    print("\\x1b[31mloading", n)
    if n > 2:
        raise ValueError("too many rows for this machine: please choose fewer of them, such as 2")
    return n


@flow.task
def report(n=load["result"]):
    return n
"""


@pytest.fixture
def failed(nbflow, folder):
    (folder / "flow.py").write_text(FLOW)
    assert nbflow("run", "flow.py", "--run-id", "r", "-q", "--workers", "1").code == 1
    return "r"


def test_text_that_fits_a_terminal(nbflow, failed):
    called = nbflow("diagnose", failed)
    assert called.code == 0
    lines = called.out.splitlines()
    assert lines[0] == "run r: failed"
    assert "✕ load: failed (failed" in called.out
    assert "1 node behind it will not run" in " ".join(called.out.split())
    assert "n = 3" in called.out
    assert "nbflow resume r" in called.out
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in called.out


def test_json(nbflow, failed):
    called = nbflow("diagnose", failed, "--json")
    assert called.code == 0
    document = json.loads(called.out)
    assert {"run_id", "status", "findings", "resources"} <= set(document)
    (finding,) = document["findings"]
    contract = {"node", "kind", "since_s", "expected_s", "evidence", "logs", "suggestions"}
    assert contract <= set(finding)
    assert (finding["node"], finding["kind"]) == ("load", str(FindingKind.FAILED))
    assert finding["logs"] == ["loading 3"]
    assert isinstance(finding["since_s"], float)
    figures = {"cpu_percent", "memory_bytes", "io_wait_percent", "network_bytes_per_s"}
    assert figures <= set(document["resources"])


def test_a_run_without_fault(nbflow, folder):
    (folder / "flow.py").write_text(FLOW.replace("n=3", "n=1"))
    assert nbflow("run", "flow.py", "--run-id", "s", "-q", "--workers", "1").code == 0
    called = nbflow("diagnose", "s")
    assert called.code == 0
    assert called.out.startswith("run s: succeeded. Nothing is wrong with it")


def test_a_factor_below_one_is_bad_usage(nbflow, failed):
    assert nbflow("diagnose", failed, "--stuck-after", "0.5").code == 2


def test_an_unknown_run(nbflow, failed):
    assert nbflow("diagnose", "nothing").code == 2
