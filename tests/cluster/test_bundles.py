"""Bundles are cut by what was measured, never by hope."""

from nbflow.cluster.bundles import BUNDLE_WORK_S, SCOUTS_PER_THREAD, Bundler
from nbflow.core.attempts import AttemptTask, StoreRef
from nbflow.core.ids import AttemptId
from nbflow.core.spec import FunctionCode, NotebookCode


def task(number: int, code=None, **options) -> AttemptTask:
    return AttemptTask(
        id=AttemptId("run", f"n{number}", 1, 1),
        code=code or FunctionCode("f", "sha256:f"),
        params={},
        store=StoreRef("file:///store", "mark"),
        **options,
    )


def flat(bundles):
    return [one.id.node for bundle in bundles for one in bundle]


def test_an_unknown_function_sends_scouts_ahead() -> None:
    now, later = Bundler().cut([task(i) for i in range(100)], threads=2)

    assert [len(bundle) for bundle in now] == [1] * (2 * SCOUTS_PER_THREAD)
    assert len(later) == 100 - 2 * SCOUTS_PER_THREAD


def test_notebooks_always_travel_alone_and_at_once() -> None:
    code = NotebookCode("/a.ipynb", "sha256:n")
    now, later = Bundler().cut([task(i, code) for i in range(100)], threads=2)

    assert [len(bundle) for bundle in now] == [1] * 100
    assert later == []


def test_quick_functions_travel_together_and_none_is_lost() -> None:
    bundler = Bundler()
    bundler.observe("sha256:f", 0.0001)
    tasks = [task(i) for i in range(1000)]

    now, later = bundler.cut(tasks, threads=2)

    assert later == []
    assert sorted(flat(now)) == sorted(one.id.node for one in tasks)
    assert max(len(bundle) for bundle in now) * 0.0004 <= BUNDLE_WORK_S
    assert len(now) >= 2 * 4


def test_one_slow_attempt_ends_the_bundling() -> None:
    bundler = Bundler()
    for _ in range(100):
        bundler.observe("sha256:f", 0.0001)
    bundler.observe("sha256:f", 1.0)

    now, _ = bundler.cut([task(i) for i in range(100)], threads=2)

    assert {len(bundle) for bundle in now} == {1}


def test_a_few_attempts_are_shared_among_the_threads() -> None:
    bundler = Bundler()
    bundler.observe("sha256:f", 0.01)

    now, _ = bundler.cut([task(i) for i in range(8)], threads=8)

    assert len(now) == 8


def test_less_work_than_a_task_costs_is_not_worth_a_task() -> None:
    bundler = Bundler()
    bundler.observe("sha256:f", 0.0001)

    now, _ = bundler.cut([task(i) for i in range(4)], threads=8)

    assert len(now) == 1


def test_only_like_attempts_share_a_bundle() -> None:
    bundler = Bundler()
    for digest in ("sha256:f", "sha256:g"):
        bundler.observe(digest, 0.0001)
    tasks = [
        task(1),
        task(2, FunctionCode("g", "sha256:g")),
        task(3, priority=1),
        task(4, resources={"GPU": 1}),
        task(5),
    ]

    now, _ = bundler.cut(tasks, threads=0)

    together = {tuple(one.id.node for one in bundle) for bundle in now}
    assert all(len(bundle) == 1 or bundle == ("n1", "n5") for bundle in together)
