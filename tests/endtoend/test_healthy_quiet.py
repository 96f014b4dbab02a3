"""Forty healthy notebooks that are quiet for long: none of them is ever said to be stuck."""

from benchmarks.stall_cases import HEALTHY, false_findings, healthy_run, slow_server


def test_no_healthy_notebook_is_said_to_be_stuck(tmp_path) -> None:
    assert len(HEALTHY) >= 40
    with slow_server() as port:
        run = healthy_run(tmp_path, port)
        told, seen = false_findings(run)
    assert run.failures() == {}
    assert told == {}
    assert seen == set(HEALTHY)
