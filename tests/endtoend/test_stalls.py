"""Real stalls in real kernels: each is named, and soon after anybody could know."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from watchpoint import until

import nbflow
from benchmarks.stall_cases import STALLS, StalledRun, Watch

#: How long after a stall can be known it may take to be named, in seconds.
SOON_S = 5.0


def test_stalls_of_notebooks_are_named_soon(tmp_path) -> None:
    with StalledRun(tmp_path) as stalled:
        after = stalled.named_after()
        assert max(after.values()) <= SOON_S, after
        for name, stall in STALLS.items():
            _, finding = stalled.watch.first[name, stall.kind]
            assert stall.line in finding.evidence.get("text", stall.line), name
            assert finding.evidence["cell"] == 1, name
            assert finding.suggestions, name
        # Before the first sample or stack, only the clock speaks.
        wrong = [
            (node, kind)
            for node, kind in stalled.watch.first
            if kind not in (STALLS[node].kind, "slower_than_expected")
        ]
        assert not wrong, "called something else on the way"
        # Who follows the run from elsewhere is told the same.
        elsewhere = Watch(nbflow.attach(stalled.run.id, home=stalled.run.home))
        elsewhere.until(
            lambda: all((name, it.kind) in elsewhere.first for name, it in STALLS.items()), 10
        )
        elsewhere.run.close()


def test_a_full_pool_and_an_upstream_that_backs_off(tmp_path) -> None:
    flow = nbflow.Flow("held", base_dir=tmp_path, limits={"pool": 1})
    go = tmp_path / "go"

    def hold(path=str(go)):
        while not Path(path).exists():
            time.sleep(0.01)

    flow.task(hold, name="pool/first")
    flow.task(hold, name="pool/second")

    @flow.task(retries=nbflow.Retry(2, backoff=600, jitter=0))
    def upstream():
        raise ConnectionError("the source is down")

    @flow.task
    def behind(x=upstream["result"]):
        return x

    run = flow.start(cluster=nbflow.Embedded(workers=1, threads=3))
    began = time.monotonic()
    try:
        watch = Watch(run)
        full = watch.named("pool/second", "waiting_for_pool")
        delayed = watch.named("upstream", "backing_off")
        assert max(at for at, _ in watch.first.values()) - began <= SOON_S
        assert full.evidence["holders"] == ["pool/first"]
        assert "`limits`" in full.suggestions[0]
        assert delayed.evidence["holds_up"] == ["behind"]
        assert "the source is down" in delayed.evidence["message"]
        assert {it.node for it in run.diagnose().findings} == {"pool/second", "upstream"}
    finally:
        go.touch()
        run.cancel()
        run.wait(60)


def test_no_worker_and_resources_that_nobody_has(tmp_path, outside) -> None:
    worker = outside.add_worker("--resources", "SPECIAL=1")
    flow = nbflow.Flow("nowhere", base_dir=tmp_path)

    @flow.task
    def plain():
        time.sleep(3600)

    @flow.task(resources={"SPECIAL": 1})
    def special():
        time.sleep(3600)

    @flow.task(resources={"SPECIAL": 5})
    def impossible():
        return 1

    run = flow.start(cluster=outside.address)
    try:
        watch = Watch(run)
        found = watch.named("impossible", "resources_unsatisfiable")
        assert found.evidence["offered"] == {"SPECIAL": 1.0}
        watch.until(lambda: run["plain"].status == run["special"].status == "running")
        os.killpg(worker.pid, signal.SIGKILL)
        lost = time.monotonic()
        nobody = watch.named("plain", "no_worker")
        assert time.monotonic() - lost <= SOON_S
        assert "dask worker" in nobody.suggestions[0]

        outside.add_worker()  # one that has nothing special
        found = watch.named("special", "resources_unsatisfiable")
        assert found.severity == "stuck"
        watch.until(lambda: ("plain", "no_worker") not in watch.look())
    finally:
        run.cancel()
        run.wait(60)


def test_a_worker_whose_memory_is_full(tmp_path, outside) -> None:
    outside.add_worker("--memory-limit", "500MB", "--nthreads", "1")
    flow = nbflow.Flow("full", base_dir=tmp_path)
    mark = tmp_path / "mark"

    @flow.task(priority=1)
    def grow(path=str(mark)):
        import psutil

        kept = []
        while psutil.Process().memory_info().rss < 0.97 * 500e6:
            kept.append(os.urandom(4_000_000))
        Path(path).touch()
        until_stopped = time.monotonic() + 3600
        while time.monotonic() < until_stopped:
            time.sleep(0.1)

    @flow.task
    def held_up():
        return 1

    run = flow.start(cluster=outside.address)
    try:
        until(mark.exists)
        full = time.monotonic()
        watch = Watch(run)
        found = watch.named("grow", "memory_pressure")
        waits = watch.named("held_up", "memory_pressure")
        assert time.monotonic() - full <= SOON_S
        assert found.evidence["worker_memory_limit_bytes"] == 500_000_000
        assert "every worker is paused" in waits.summary
        assert waits.evidence["workers"] == 1
    finally:
        run.cancel()
        run.wait(60)


def test_a_worker_that_says_nothing_any_more(tmp_path, outside) -> None:
    worker = outside.add_worker()
    flow = nbflow.Flow("silent", base_dir=tmp_path)
    go = tmp_path / "go"

    @flow.task
    def held(path=str(go)):
        while not Path(path).exists():
            time.sleep(0.01)

    run = flow.start(cluster=outside.address)
    try:
        watch = Watch(run)
        watch.until(lambda: run["held"].status == "running")
        os.killpg(worker.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        found = watch.named("held", "worker_lost")
        # Thirty seconds of silence may pass by themselves; a heartbeat may have been half a
        # second ago.
        assert 29.0 <= time.monotonic() - stopped <= 30.0 + SOON_S
        assert found.evidence["silent_s"] >= 30.0
        assert "nbflow cancel" in found.suggestions[1]

        os.killpg(worker.pid, signal.SIGCONT)
        watch.until(lambda: not watch.look())
        go.touch()
        run.wait(60)
        assert run.status == "succeeded"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGCONT)
        run.cancel()
        run.wait(60)


DRIVER = """
import sys, time
import nbflow

flow = nbflow.Flow("orphan", base_dir=sys.argv[1])

@flow.task
def wait(path=sys.argv[1] + "/begun"):
    open(path, "w").close()
    time.sleep(3600)

flow.run(home=sys.argv[1] + "/home", run_id="orphan", workers=1, progress=False)
"""


def test_a_driver_that_was_killed(tmp_path) -> None:
    # What it leaves behind when it is killed is in a folder that goes with the test.
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], env=env)
    try:
        until((tmp_path / "begun").exists)
        run = nbflow.attach("orphan", home=tmp_path / "home")
        assert run.diagnose().findings == ()
    finally:
        driver.kill()
        driver.wait()
    killed = time.monotonic()
    watch = Watch(run)
    found = watch.named("", "driver_lost")
    assert time.monotonic() - killed <= SOON_S
    assert "nbflow resume orphan" in found.suggestions[0]
    assert run.diagnose().status == "interrupted"
    run.close()


def test_a_kernel_that_dies(tmp_path, notebook) -> None:
    flow = nbflow.Flow("dead", base_dir=tmp_path)
    flow.notebook(notebook("dead.ipynb", "print('so far')", "import os; os.kill(os.getpid(), 9)"))
    run = flow.start(workers=1)
    run.wait(60)
    (found,) = run.diagnose().findings
    assert (found.node, found.kind, found.severity) == ("dead", "kernel_dead", "failed")
    assert found.evidence["cell"] == 3  # of the executed notebook, behind two marks
    assert found.logs == ("so far",)
