"""Large bytes go through Dask without being copied, and arrive."""

import pickle

import dask
from dask._expr import LLGExpr
from distributed.protocol import deserialize, serialize, to_serialize
from msgspec.structs import replace
from peaks import peak_bytes

from nbflow.cluster import payloads
from nbflow.cluster.payloads import LARGE_BYTES
from nbflow.core.attempts import AttemptTask, Outcome, StoreRef
from nbflow.core.ids import AttemptId
from nbflow.core.spec import FunctionCode

LARGE = bytes(LARGE_BYTES)
ID = AttemptId("run", "node", 1, 1)
TASK = AttemptTask(id=ID, code=FunctionCode("f"), params={}, store=StoreRef("nowhere://", "1"))


def twice_pickled(parts):
    """What a worker gets by way of a scheduler."""
    for _ in range(2):
        frames = []
        pickled = pickle.dumps(parts, 5, buffer_callback=frames.append)
        assert len(pickled) < 1000
        parts = pickle.loads(pickled, buffers=frames)
    return parts


def test_what_is_set_apart_is_joined_again():
    tasks = [
        replace(TASK, carried={"1": LARGE, "small": b"s"}),
        replace(TASK, carried={"2": LARGE + b"2"}),
        TASK,
    ]
    message, parts = payloads.pack(tasks, payloads.sharing())
    assert len(message) < 1000

    arrived = payloads.joined(
        [replace(task, carried={"small": b"s"} if n == 0 else {}) for n, task in enumerate(tasks)],
        twice_pickled(parts),
    )

    assert arrived[0].carried["small"] == b"s"
    assert [task.carried["1"] for task in arrived] == [LARGE] * 3
    assert arrived[1].carried["2"] == LARGE + b"2"
    assert all(type(data) is bytes for task in arrived for data in task.carried.values())


def test_small_bytes_stay_in_the_message():
    outcome = Outcome(id=ID, status="succeeded", started_at=1, ended_at=2, carried={"1": b"x"})
    message, parts = payloads.pack([outcome])
    assert b"x" in message
    assert parts == ()


def test_bytes_of_a_result_are_plain_bytes_for_dask():
    outcome = Outcome(id=ID, status="succeeded", started_at=1, ended_at=2, carried={"1": LARGE})
    _, parts = payloads.pack([outcome])
    assert parts == ("1", LARGE)


def test_a_graph_is_made_ready_without_a_copy_and_sends_once_what_its_tasks_share():
    data = bytes(8 << 20)
    wrap = payloads.sharing()
    graph = {
        name: (len, *payloads.pack([replace(TASK, carried={"1": data})], wrap)[1]) for name in "ab"
    }
    sent = []

    peak = peak_bytes(lambda: sent.append(serialize(to_serialize(LLGExpr(graph)))))

    assert peak < len(data) / 8
    header, frames = sent[0]
    assert sum(memoryview(frame).nbytes for frame in frames) < len(data) * 1.1
    there = deserialize(header, frames).operand("dsk")
    assert there["a"][2] is there["b"][2]


def test_dask_warns_its_user_of_large_graphs_as_before():
    key = "distributed.admin.large-graph-warning-threshold"
    before = dask.config.get(key)
    with payloads.unremarked():
        assert dask.config.get(key) > 1 << 40
    assert dask.config.get(key) == before
