import pytest

from nbflow.definition.code_cells import seconds_of

BEGAN, ENDED = "iopub.execute_input", "shell.execute_reply"


def jupyter(began, ended):
    return {"execution": {BEGAN: began, ENDED: ended}}


def papermill(duration, status="completed"):
    return {"papermill": {"status": status, "duration": duration}}


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        (jupyter("2026-01-01T00:00:01.500000Z", "2026-01-01T00:01:02.000000Z"), 60.5),
        (jupyter("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:02Z"), 2.0),
        (papermill(3), 3.0),
        (papermill(0.25), 0.25),
        ({**jupyter("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"), **papermill(4.0)}, 4.0),
    ],
)
def test_how_long_a_cell_took_is_read_as_it_was_noted(metadata, seconds):
    assert seconds_of({"metadata": metadata}) == seconds


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"execution": None, "papermill": []},
        papermill(3.0, "failed"),
        papermill("3"),
        papermill(True),
        papermill(-1.0),
        papermill(float("nan")),
        papermill(float("inf")),
        jupyter("2026-01-01T00:00:02Z", "2026-01-01T00:00:01Z"),
        jupyter("2026-01-01T00:00:01", "2026-01-01T00:00:02Z"),
        jupyter("soon", "later"),
        {"execution": {BEGAN: "2026-01-01T00:00:01Z"}},
    ],
)
def test_what_tells_nothing_is_passed_by(metadata):
    assert seconds_of({"metadata": metadata}) is None
