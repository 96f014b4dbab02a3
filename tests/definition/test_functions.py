import functools
import math
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from nbflow import guest
from nbflow.core.spec import FunctionCode
from nbflow.definition import FlowBuilder, load_target
from nbflow.definition.faults import Fault
from nbflow.definition.functions import FunctionPickler, signature_of
from nbflow.definition.references import OutputRef

ROWS = OutputRef("extract", "rows")


def pickled(function):
    kept = {}

    def keep(data):
        kept["sha256:x"] = data
        return "sha256:x"

    code = FunctionPickler(keep).code(function)
    return code, kept["sha256:x"]


def call_elsewhere(data: bytes, folder: Path, call: str) -> str:
    """Load the pickle in a process that sees nothing but installed packages, and call it."""
    file = folder / "function.pickle"
    file.write_bytes(data)
    program = f"import pickle; f = pickle.load(open({str(file)!r}, 'rb')); print({call})"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=clean,
    )
    return done.stdout.strip()


def test_signature_splits_what_is_required_from_what_is_bound():
    def task(a, b=ROWS, *, c=3, d=math.inf, **rest): ...

    signature = signature_of(task)
    assert signature.required == ("a",)
    assert signature.defaults == {"b": ROWS, "c": 3}  # inf is no JSON: it stays with the function
    assert signature.names == {"a", "b", "c", "d"}
    assert signature.open


def generator():
    yield 1


def positional(a, /): ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (generator, "is a generator"),
        (positional, "'a' is positional-only"),
        (dict, "cannot be found"),
    ],
)
def test_functions_that_cannot_be_nodes(function, words):
    with pytest.raises(Fault, match=words) as raised:
        signature_of(function)
    assert raised.value.fix


def test_defaults_that_are_references_do_not_travel():
    def task(a, rows=ROWS, *, more=[ROWS], plain=4):
        return (a, rows, more, plain)

    task.note = "kept"
    code, data = pickled(task)
    loaded = guest.load("pickle", data)
    assert loaded(1) == (1, None, None, 4)
    assert loaded.note == "kept"
    assert task.__defaults__ == (ROWS,)
    assert code.label.endswith("task")


def test_a_function_pickles_once_however_often_it_is_used():
    pickles = []
    pickler = FunctionPickler(lambda data: pickles.append(data) or "sha256:x")
    assert pickler.code(generator) is pickler.code(generator)
    assert len(pickles) == 1


def test_installed_functions_go_by_reference_and_callables_of_any_kind_work():
    assert len(pickled(math.sqrt)[1]) < 100
    code, data = pickled(functools.partial(math.pow, 2))
    assert code.label.startswith("math.")
    assert guest.load("pickle", data)(3) == 8


def test_what_lies_beside_the_function_travels_with_it(folder):
    package = folder / "helpers"
    package.mkdir()
    (package / "__init__.py").write_text("from helpers.deep import twice\n")
    (package / "deep.py").write_text("def twice(x):\n    return 2 * x\n")
    (folder / "steps.py").write_text(
        "import json\nimport helpers.deep\nfrom helpers import twice\n"
        "def task(x):\n    return json.dumps([twice(x), helpers.deep.twice(x), later(x)])\n"
        "def later(x):\n    return x + 1\n"
        "import nbflow.definition as d\nflow = d.FlowBuilder('f')\n"
        "flow.task(task, params={'x': 1})\n"
    )
    flow = load_target("steps.py:flow", flow_class=FlowBuilder)
    code = flow.spec(with_code=True).nodes[0].code
    assert isinstance(code, FunctionCode)
    assert call_elsewhere(flow.blobs[code.digest], folder, "f(3)") == "[6, 6, 4]"


def test_a_main_program_without_a_file_is_pickled_by_value(folder):
    program = (
        "import nbflow.definition as d\n"
        "flow = d.FlowBuilder('f')\n"
        "@flow.task\n"
        "def task(x=4): return helper(x)\n"
        "def helper(x): return x + 1\n"
        "spec = flow.spec(with_code=True)\n"
        "open('p', 'wb').write(flow.blobs[spec.nodes[0].code.digest])\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=folder)
    assert call_elsewhere((folder / "p").read_bytes(), folder, "f()") == "5"


def test_registration_by_value_does_not_outlast_the_pickling():
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    pickled(generator)
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_a_function_that_cannot_travel_is_a_problem_of_its_node():
    lock = threading.Lock()
    flow = FlowBuilder("f")
    other = flow.notebook("other.ipynb")

    @flow.task
    def holds_a_lock():
        return lock

    @flow.task
    def uses_a_node():
        return other

    found = {p.node: p for p in flow.check() if p.node != "other"}
    assert "cannot be sent to a worker" in found["holds_a_lock"].what
    assert "lock" in found["holds_a_lock"].what
    assert "inside the function" in found["holds_a_lock"].fix
    assert "the node 'other' is part of a flow's definition" in found["uses_a_node"].what


def test_a_module_that_is_not_from_a_file_has_no_neighbours():
    module = types.ModuleType("made_up")
    exec("def task(): return 1", module.__dict__)
    assert guest.load("pickle", pickled(module.task)[1])() == 1
