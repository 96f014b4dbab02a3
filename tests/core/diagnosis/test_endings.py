import pytest
from facts_of import Scene, node
from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core.expecting import Expectation
from nbflow.core.usage import UsageSum
from nbflow.core.values import Artifact, Fields, Inline, Items, Secret

ERROR = ev.ErrorInfo("ValueError", "no rows", cell=4, traceback="Traceback\n  line 1\nValueError")


def test_a_failed_cell_is_told_with_its_traceback_and_inputs():
    receives = replace(
        node("b", "a"),
        params={
            "rows": node("b", "a").params["p0"],
            "n": Inline(3),
            "text": Inline("x" * 900),
            "key": Secret("env:TOKEN"),
            "all": Items((Inline(1), Secret("env:TOKEN"))),
            "by": Fields({"k": Inline(2)}),
        },
    )
    table = Artifact("parquet", "sha256:1", 5_000_000, "pandas.DataFrame", "9 rows")
    scene = Scene(node("a"), receives, node("c", "b"), node("d", after=("c",)))
    scene.succeed("a", outputs={"x": table}).fail("b", error=ERROR)
    skip = ev.Reason("upstream_failed", "b failed")
    scene.tell(ev.NodeSkipped("c", skip), ev.NodeSkipped("d", skip)).end("failed").after(60)
    scene.driven = False

    (found,) = scene.findings()
    assert (found.node, found.kind, found.severity) == ("b", "failed", "failed")
    assert found.summary == (
        "b, cell 4, failed: ValueError: no rows; 2 nodes behind it will not run"
    )
    assert found.evidence["traceback"][-1] == "ValueError"
    assert found.evidence["skipped"] == ["c", "d"]
    inputs = found.evidence["inputs"]
    assert inputs["rows"] == "pandas.DataFrame 9 rows (5 MB)"
    assert (inputs["n"], len(inputs["text"])) == (3, 201)
    assert (inputs["key"], inputs["all"]) == ("${env:TOKEN}", [1, "${env:TOKEN}"])
    assert inputs["by"] == {"k": 2}
    assert "nbflow logs r b" in found.suggestions[0]
    assert found.suggestions[-1] == "then go on: nbflow resume r"


@pytest.mark.parametrize(
    ("reason", "kind", "advice"),
    [
        ("kernel_died", "kernel_dead", "`retries`"),
        ("worker_lost", "worker_lost", "`memory`"),
        ("timed_out", "failed", "`timeout`"),
        ("out_of_memory", "failed", "`memory`"),
        ("invalid_input", "failed", "`params`"),
        ("error", "failed", "nbflow logs"),
    ],
)
def test_a_failure_is_called_by_its_reason(reason, kind, advice):
    scene = Scene(node("a", memory_bytes=10**9)).fail(kind=reason).after(1)
    (found,) = scene.findings()
    assert (found.kind, found.evidence["reason"]) == (kind, reason)
    assert any(advice in text for text in found.suggestions)


def test_a_failure_that_is_tried_again_is_no_end():
    assert Scene(node("a", retries=1)).fail().after(1).findings() == []


def test_a_success_that_took_far_longer_than_expected():
    expected = {
        "a": Expectation(basis="history", expected_s=10, likely_s=9, low_s=8, high_s=10, limit_s=20)
    }
    slow = Scene(node("a"), node("b")).succeed(took_s=25.0).after(30)
    (found,) = slow.diagnosis(expected=expected).findings
    assert (found.kind, found.severity, found.expected_s) == ("slower_than_expected", "slow", 10)
    assert found.evidence["took_s"] == 25.0
    quick = Scene(node("a"), node("b")).succeed(took_s=19.0).after(30)
    assert quick.diagnosis(expected=expected).findings == ()


def test_what_an_attempt_used_is_evidence():
    scene = Scene().fail(usage=UsageSum(samples=5, cpu_s=3.0, memory_bytes_peak=10**9)).after(1)
    (found,) = scene.findings()
    assert found.evidence["usage"]["memory_bytes_peak"] == 10**9
