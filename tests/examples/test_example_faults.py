"""The gallery of faults: each ends as its page says, and everything beside it goes on."""

import pytest
from example_runs import Executed

pytestmark = pytest.mark.timeout(300)

#: How each fault ends: its reason, its exception, and what its messages have to tell.
FAULTS = {
    "raises": ("error", "ZeroDivisionError", "float division by zero"),
    "dies": ("kernel_died", "KernelDied", "signal 9"),
    "unstorable": ("error", "OutputNotStorable", "output 'lock' is a value of type _thread.lock"),
    "missing_output": ("error", "OutputMissing", "did you mean 'total'?"),
    "slow": ("timed_out", "KeyboardInterrupt", "interrupted after 5 s (soft timeout)"),
}


@pytest.fixture(scope="module")
def counter(examples):
    return examples.folder / "tries.txt"


@pytest.fixture(scope="module")
def nodes(examples, counter):
    parameters = ("-p", "seconds", "20", "-p", "counter", str(counter))
    document = examples.start("faults/flow.yaml", *parameters, out="faults").document(code=1)
    assert document["status"] == "failed"
    return document["nodes"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_what_it_is(nodes, fault):
    kind, exception, message = FAULTS[fault]
    node = nodes[fault]
    assert node["status"] == "failed"
    assert node["reason"]["kind"] == kind
    assert message in node["reason"]["message"]
    assert node["error"]["type"] == exception
    assert node["attempts"] == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_what_depends_on_a_fault_is_skipped_and_says_for_whose_sake(nodes, fault):
    node = nodes[f"{fault}/next"]
    assert node["status"] == "skipped"
    assert node["reason"]["kind"] == "upstream_failed"
    assert node["reason"]["message"].startswith(f"{fault} failed: ")
    assert (node["attempts"], node["notebook"]) == (0, None)


@pytest.mark.parametrize("fault", [*FAULTS, "flaky"])
def test_what_stands_beside_a_fault_succeeds(nodes, fault):
    node = nodes[f"{fault}/beside"]
    assert (node["status"], node["attempts"]) == ("succeeded", 1)
    assert "received str" in Executed(node["notebook"]).printed


def test_a_flaky_node_succeeds_at_its_third_attempt(nodes, counter):
    assert (nodes["flaky"]["status"], nodes["flaky"]["attempts"]) == ("succeeded", 3)
    assert nodes["flaky"]["outputs"]["answer"]["value"] == "reached at try 3"
    assert nodes["flaky"]["reason"] is None
    assert nodes["flaky/next"]["status"] == "succeeded"
    assert counter.read_text() == "3"


def test_what_an_unstorable_node_had_besides_is_kept(nodes):
    assert nodes["unstorable"]["outputs"] == {"count": {"kind": "json", "value": 4}}


@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("raises", ["completed", "failed", "pending"]),
        ("dies", ["completed", "completed", "failed", "pending"]),
        ("slow", ["completed", "completed", "failed"]),
        ("unstorable", ["completed", "completed"]),
        ("missing_output", ["completed", "completed"]),
    ],
)
def test_a_partial_notebook_tells_which_cells_have_run(nodes, fault, statuses):
    executed = Executed(nodes[fault]["notebook"])
    assert executed.statuses == statuses
    assert executed.papermill.exception is ("failed" in statuses or None)


def test_an_interrupted_cell_could_still_say_how_far_it_came(nodes):
    assert "stopped after " in Executed(nodes["slow"]["notebook"]).printed
