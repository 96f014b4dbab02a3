from nbflow.core.findings import Activity, Diagnosis, Finding, Remaining, Resources
from nbflow.drawing.diagnosis import DrawnDiagnosis, diagnosis_html, diagnosis_lines

EVIL = "<script>alert(1)</script>\x1b[31m\u202e"


def finding(**fields):
    base = {
        "node": "train",
        "kind": "blocked_on_lock",
        "severity": "stuck",
        "summary": "cell 3, line 7 (`lock.acquire()`) waits for a lock: nothing will release it",
        "since_s": 34.0,
        "suggestions": ("release the lock in a `with` block", "nbflow resume r --from train"),
    }
    return Finding(**{**base, **fields})


def diagnosis(*findings, **fields):
    return Diagnosis(**{"run_id": "r", "status": "running", "findings": findings, **fields})


def text(*findings, **fields):
    return "\n".join(diagnosis_lines(diagnosis(*findings, **fields)))


def test_a_finding():
    assert text(finding(logs=("fold 4",))) == (
        "run r: running\n"
        "\n"
        "! train: blocked_on_lock (stuck, for 34 s)\n"
        "    cell 3, line 7 (`lock.acquire()`) waits for a lock: nothing will release it\n"
        "    It has printed last:\n"
        "      fold 4\n"
        "    What to do: release the lock in a `with` block\n"
        "                nbflow resume r --from train"
    )


def test_nothing_is_wrong():
    left = Remaining(likely_s=60, low_s=30, high_s=120)
    does = Activity(node="a", text="computes in cell 2", elapsed_s=3, expected_s=9)
    used = Resources(cpu_percent=101, memory_bytes=5_000_000, network_bytes_per_s=2e6)
    shown = text(remaining=left, activities=(does,), resources=used, critical_path=("a", "b"))
    assert shown == (
        "run r: running; about 1 min 00 s to go (30 s to 2 min 00 s). Nothing is wrong\n"
        "    with it\n"
        "\n"
        "Now:\n"
        "  a computes in cell 2 (3.0 s of about 9.0 s)\n"
        "All together: 101% of a core, 5 MB of memory, 0% waiting for disks, 2.0 MB/s of\n"
        "    network\n"
        "Critical path: a → b"
    )


def test_the_run_itself_and_a_failure():
    shown = text(
        finding(node="", kind="driver_lost", since_s=None),
        finding(severity="failed", evidence={"traceback": ["a", "b"], "inputs": {"n": 3}}),
    )
    assert "! the run: driver_lost (stuck)" in shown
    assert "      b\n      n = 3\n" in shown


def test_what_comes_from_notebooks_does_no_harm():
    evil = finding(
        summary=EVIL,
        logs=(EVIL,),
        suggestions=(EVIL,),
        evidence={"traceback": [EVIL], "inputs": {EVIL: EVIL}, "text": EVIL},
    )
    does = Activity(node=EVIL, text=EVIL, elapsed_s=1)
    seen = diagnosis(evil, activities=(does,), run_id=EVIL, critical_path=(EVIL, EVIL))
    lines = list(diagnosis_lines(seen))
    assert not any(char in line for line in lines for char in "\x1b\u202e\n")
    page = diagnosis_html(seen)
    assert "<script" not in page
    assert "\x1b" not in page


def test_it_shows_itself():
    drawn = DrawnDiagnosis.of(diagnosis(finding()))
    assert repr(drawn) == text(finding())
    assert "<b>train: blocked_on_lock</b>" in drawn._repr_html_()
    assert isinstance(drawn, Diagnosis)


def test_many_nodes_are_cut():
    many = tuple(Activity(node=f"n{i}", text="runs", elapsed_s=1) for i in range(500))
    shown = text(activities=many)
    assert "and 488 more" in shown
    assert len(shown) < 2000


def test_a_command_is_not_broken():
    cancel, resume = (
        "nbflow cancel sales-20261122-0512",
        "nbflow resume sales-20261122-0512 --from a",
    )
    shown = text(finding(suggestions=(f"stop it and start anew: {cancel}, then {resume}",)))
    assert any(line.strip() == resume for line in shown.splitlines())
    assert cancel in shown
    assert "\x00" not in shown
