"""A staged run that uses something, with a diagnosis: what displays and reports are given."""

from msgspec.structs import replace

from nbflow.core.attempts import WorkerState
from nbflow.core.findings import Activity, Diagnosis, Finding, FindingKind, Remaining, Resources
from nbflow.core.usage import Usage


def usage(*cpu_percents, memory_bytes=1_200_000_000, **more):
    """Samples, one a second."""
    return tuple(
        Usage(at=1_000.0 + index, cpu_percent=cpu, memory_bytes=memory_bytes, **more)
        for index, cpu in enumerate(cpu_percents)
    )


def finding(node, kind=FindingKind.BLOCKED_ON_LOCK, severity="stuck", **more):
    fields = {
        "summary": f"{node or 'the run'} waits for a lock in cell 4, line 17",
        "suggestions": (f"look where it waits: nbflow logs sales-1 {node}",),
        **more,
    }
    return Finding(node=node, kind=kind, severity=severity, **fields)


def diagnosis(*findings, activities=(), **more):
    fields = {
        "resources": Resources(
            cpu_percent=240.0,
            memory_bytes=3_100_000_000,
            io_wait_percent=2.0,
            network_bytes_per_s=1_000_000.0,
        ),
        "remaining": Remaining(likely_s=40.0, low_s=30.0, high_s=60.0),
        **more,
    }
    return Diagnosis(
        run_id="sales-1",
        status="running",
        findings=findings,
        activities=tuple(activities),
        **fields,
    )


def activity(node, text="computes in cell 4, line 17 (fit)", cell=4, line=17, expected_s=60.0):
    return Activity(
        node=node, text=text, elapsed_s=12.0, cell=cell, line=line, expected_s=expected_s
    )


def seen(stage, **fields):
    """The view of a staged run, with telemetry."""
    return replace(stage.view(), **fields)


WORKERS = (
    WorkerState(address="tcp://127.0.0.1:1", threads=4),
    WorkerState(address="tcp://127.0.0.1:2", threads=4, paused=True),
)
