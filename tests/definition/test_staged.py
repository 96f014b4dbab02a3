"""Notebooks with ``cells=True`` as nodes of a flow: on specifications, nothing runs."""

import msgspec
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbflow.core.errors import DefinitionError
from nbflow.core.graph import Graph
from nbflow.core.policies import Retry
from nbflow.core.spec import NotebookCode, PapermillForm
from nbflow.core.stage_results import Lesson, source_digest
from nbflow.core.stages import INJECTED
from nbflow.core.values import FromOutput, FromParam, Inline
from nbflow.definition import BareNotebook, FlowBuilder, load_notebook
from nbflow.definition.flow_changes import flow_changes
from nbflow.definition.options import NodeOptions
from nbflow.definition.refreshing import refreshed
from nbflow.definition.staged import CellsAsked, LearnedCells

LOAD = "table = [3, 1, 2]"
LEFT = "low = len(table) + 1"
RIGHT = "high = len(table) * 2"
SHOW = "print(low, high)"
IMPORT = "import math"
#: A notebook with two branches that are worth a kernel each.
BRANCHES = (IMPORT, LOAD, LEFT, RIGHT, SHOW)


def learned(seconds=5.0, *, slow=(LEFT, RIGHT), lessons=()):
    """What is known of cells: that some take long."""
    by_cell = {}
    for lesson in lessons:
        by_cell.setdefault(lesson.cell, []).append(lesson)
    known = LearnedCells({source_digest(cell): seconds for cell in slow}, by_cell)
    return lambda _path: known


def prepared(flow, given=None, **asked):
    asked.setdefault("learn", learned())
    return flow.prepare(given or {}, cells=CellsAsked(**asked))


def nodes(prepared_flow):
    return {node.name: node for node in prepared_flow.spec.nodes}


def stages(prepared_flow, name="x"):
    """The stages of a node by name, with the sources of their own cells."""
    by_name = nodes(prepared_flow)
    return {place.node: by_name[place.node] for place in by_name[name].stages}


def cells_of(node):
    return [cell.number for cell in node.code.stage.cells if not cell.replayed]


@pytest.fixture
def flow(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True)
    return flow


# --- the nodes ------------------------------------------------------------------------------------


def test_slow_branches_become_nodes_and_the_notebook_comes_after_them(flow):
    found = prepared(flow)
    *stages, assembly = found.spec.nodes
    assert assembly.name == "x"
    assert assembly.kind == "notebook"
    assert {stage.kind for stage in stages} == {"stage"}
    assert set(assembly.after) == {stage.name for stage in stages}
    assert sorted(number for stage in stages for number in cells_of(stage)) == [1, 2, 3, 4, 5]
    for stage in stages:
        numbers = cells_of(stage)
        assert stage.name == f"x/cells-{numbers[0]}"
    left = next(stage for stage in stages if 3 in cells_of(stage))
    assert 4 not in cells_of(left)
    graph = Graph(found.spec)
    assert graph.topological_order()[-1] == "x"


def test_variables_are_edges_between_stages(flow):
    found = nodes(prepared(flow))
    takers = [
        (name, node)
        for name, node in found.items()
        if node.is_stage and any("table" in cell.takes for cell in node.code.stage.cells)
    ]
    assert takers
    for _, node in takers:
        source = node.params["table"]
        assert isinstance(source, FromOutput)
        assert source.output == "table"
        assert 2 in cells_of(found[source.node])


def test_the_assembly_knows_each_place_and_what_is_before_it(flow):
    assembly = nodes(prepared(flow))["x"]
    places = assembly.stages
    assert sorted(index for place in places for index in place.cells) == [0, 1, 2, 3, 4]
    last = next(place for place in places if 4 in place.cells)
    for index in (1, 2, 3):
        holder = next(i for i, place in enumerate(places) if index in place.cells)
        assert holder in last.before or places[holder] == last


def test_a_notebook_that_is_not_worth_it_stays_one_node(flow):
    found = prepared(flow, learn=lambda _path: LearnedCells())
    (node,) = found.spec.nodes
    assert node == flow.prepare({}, cells=CellsAsked(asked=False)).spec.nodes[0]
    assert found.warnings == ()


def test_without_a_word_nothing_is_cut(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb")
    assert len(prepared(flow).spec.nodes) == 1
    found = prepared(flow, asked=True)
    assert len(found.spec.nodes) > 2
    assert found.spec.cells is True


def test_a_run_can_be_asked_for_no_stages(flow):
    assert len(prepared(flow, asked=False).spec.nodes) == 1


def test_a_word_of_ones_own_is_more_than_the_defaults(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f", defaults={"cells": True})
    flow.notebook("x.ipynb", name="a")
    flow.notebook("x.ipynb", name="b", cells=False)
    assert {name for name in nodes(prepared(flow)) if "/" not in name} == {"a", "b"}
    assert stages(prepared(flow), "a")
    assert not stages(prepared(flow), "b")
    assert not stages(prepared(flow, asked=True), "b")


def test_what_the_file_notes_counts_until_something_newer_is_known(folder):
    def noted(source, seconds):
        times = {
            "iopub.execute_input": "2026-01-01T00:00:00.000000Z",
            "shell.execute_reply": f"2026-01-01T00:00:{seconds:09.6f}Z",
        }
        return new_code_cell(source, metadata={"execution": times})

    book = new_notebook(
        cells=[
            new_code_cell(IMPORT),
            new_code_cell(LOAD),
            noted(LEFT, 8.0),
            noted(RIGHT, 8.0),
            new_code_cell(SHOW),
        ]
    )
    nbformat.write(book, folder / "x.ipynb")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True)
    assert stages(prepared(flow, learn=lambda _path: LearnedCells()))
    assert not stages(prepared(flow, learn=learned(0.001)))


# --- parameters -----------------------------------------------------------------------------------


def test_parameters_without_a_cell_for_them_come_before_all(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f", params={"rows": 3})
    flow.notebook("x.ipynb", params={"rows": flow.param("rows")}, cells=True)
    found = stages(prepared(flow))
    injected = [
        node
        for node in found.values()
        if any(cell.index == INJECTED and not cell.replayed for cell in node.code.stage.cells)
    ]
    (first,) = injected
    assert first.params["rows"] == FromParam("rows")
    assert all(node.code.stage.injected for node in found.values())
    assert all("rows" not in node.params for node in found.values() if node is not first)


def test_parameters_come_in_the_stage_of_their_cell(write_notebook):
    write_notebook("x.ipynb", *BRANCHES[1:], params="extra = 0")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", params={"extra": 5, "more": 6}, cells=True)
    found = stages(prepared(flow))
    (first,) = (node for node in found.values() if node.params.get("extra") == Inline(5))
    assert 1 in cells_of(first)
    cell = next(cell for cell in first.code.stage.cells if cell.number == 1)
    assert {"extra", "more"} <= set(cell.writes)
    assert all(cell.index != INJECTED for node in found.values() for cell in node.code.stage.cells)


def test_a_parameter_that_a_branch_reads_is_handed_on(write_notebook):
    write_notebook("x.ipynb", IMPORT, "low = len(rows) + 1", "high = len(rows) * 2", SHOW)
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", params={"rows": [1, 2]}, cells=True)
    slow = ("low = len(rows) + 1", "high = len(rows) * 2")
    found = stages(prepared(flow, learn=learned(slow=slow)))
    given = [node.params["rows"] for node in found.values() if "rows" in node.params]
    assert Inline([1, 2]) in given
    assert any(isinstance(binding, FromOutput) for binding in given)


def test_stages_that_need_no_parameter_wait_for_those_who_give_it(write_notebook):
    write_notebook("source.ipynb", "rows = [1]")
    own = ("a = len([1])", "b = len([2])")
    write_notebook("x.ipynb", "import math", *own, "print(a, b, rows)")
    flow = FlowBuilder("f")
    source = flow.notebook("source.ipynb")
    flow.notebook("x.ipynb", params={"rows": source["rows"]}, cells=True)
    found = prepared(flow, learn=learned(slow=own))
    upstream = Graph(found.spec).upstream
    for name in stages(found):
        above, todo = set(), [name]
        while todo:
            above.update(upstream[todo[-1]])
            todo = [*upstream[todo.pop()], *todo]
        assert "source" in above


def test_what_comes_after_other_nodes_does_so_in_all_stages(write_notebook):
    write_notebook("first.ipynb", "1")
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    first = flow.notebook("first.ipynb")
    flow.notebook("x.ipynb", after=[first], cells=True)
    found = prepared(flow)
    assert all("first" in node.after for node in stages(found).values())
    assert "first" in nodes(found)["x"].after


# --- outputs --------------------------------------------------------------------------------------


def test_a_stage_hands_the_assembly_what_is_wanted_of_the_notebook(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    write_notebook("y.ipynb", "1")
    flow = FlowBuilder("f")
    node = flow.notebook("x.ipynb", outputs=["table"], cells=True)
    flow.notebook("y.ipynb", params={"high": node["high"], "none": node["emitted"]})
    found = prepared(flow)
    given = {name: node.outputs for name, node in stages(found).items() if node.outputs}
    values = sorted(value for outputs in given.values() for value in outputs)
    assert values == ["value/high", "value/table"]
    (right,) = (name for name, outputs in given.items() if "value/high" in outputs)
    assert 4 in cells_of(stages(found)[right])
    assert nodes(found)["x"].outputs == ("table",)
    assert nodes(found)["y"].params["high"] == FromOutput("x", "high")


def test_cells_tagged_outputs_hand_on_what_they_assign(folder):
    tagged = new_code_cell("result = low + high\n_private = 1", metadata={"tags": ["outputs"]})
    book = new_notebook(cells=[*(new_code_cell(source) for source in BRANCHES), tagged])
    nbformat.write(book, folder / "x.ipynb")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True)
    found = stages(prepared(flow))
    assert [node.outputs for node in found.values() if node.outputs] == [("value/result",)]


# --- policies -------------------------------------------------------------------------------------


def test_stages_have_the_policies_of_their_notebook_but_for_retries(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    flow.notebook(
        "x.ipynb", cells=True, retries=2, memory="1GB", cache="7d", priority=3, env={"A": "1"},
        inputs=["data"], expected=60,
    )  # fmt: skip
    found = prepared(flow)
    assembly = nodes(found)["x"]
    assert assembly.policy.retries.times == 2
    for node in stages(found).values():
        assert node.policy == msgspec.structs.replace(
            assembly.policy, retries=Retry(), expected=None
        )
        assert node.code.env == assembly.code.env == {"PYTHONHASHSEED": "0", "A": "1"}
        assert node.identity.inputs == assembly.identity.inputs != ()
        assert node.identity.environment == assembly.identity.environment
        assert node.place == assembly.place


def test_a_hash_seed_of_ones_own_stays(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True, env={"PYTHONHASHSEED": "7"})
    assert {node.code.env["PYTHONHASHSEED"] for node in prepared(flow).spec.nodes} == {"7"}


def test_where_the_notebook_goes_is_a_matter_of_the_assembly(write_notebook):
    path = write_notebook("x.ipynb", *BRANCHES)
    form = PapermillForm(
        report_mode=True, folder="/somewhere", output_path="o.ipynb", saved_to="/o.ipynb"
    )
    bare = BareNotebook(path=str(path), form=form, options=NodeOptions(cells=True))
    found = prepared(load_notebook(bare, flow_class=FlowBuilder))
    assert nodes(found)["x"].code.papermill == form
    assert {node.code.papermill for node in stages(found).values()} == {
        PapermillForm(folder="/somewhere")
    }


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"effect": "at_most_once"}, "at most once"),
        ({"checkpoint": 30}, "checkpoints"),
        ({"cells": "yes"}, "cells must be true or false, not 'yes'"),
    ],
)
def test_what_makes_no_sense_is_a_fault(write_notebook, options, what):
    write_notebook("x.ipynb", *BRANCHES)
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", **{"cells": True, **options})
    with pytest.raises(DefinitionError, match=what):
        prepared(flow)


def test_a_function_has_no_cells(folder):
    flow = FlowBuilder("f", defaults={"cells": True})
    flow.task(max, cells=True, name="a", params={"iterable": [1]})
    assert "a function has no cells" in "".join(map(str, flow.check()))


@pytest.mark.parametrize(
    ("options", "form", "why"),
    [
        ({"effect": "at_most_once"}, {}, "at most once"),
        ({"checkpoint": 30}, {}, "checkpoints"),
        ({"params": {"key": "${env:KEY}"}}, {}, "secret"),
        ({}, {"stdout_file": "/o.txt"}, "prints goes to a file"),
        ({}, {"language": "r"}, "only Python is analysed"),
    ],
)
def test_what_keeps_a_notebook_from_it_is_said(write_notebook, options, form, why):
    import nbflow

    path = write_notebook("x.ipynb", *BRANCHES)
    if "params" in options:
        options = {"params": {"key": nbflow.Secret("env:KEY")}}
    bare = BareNotebook(path=str(path), form=PapermillForm(**form), options=NodeOptions(**options))
    found = prepared(load_notebook(bare, flow_class=FlowBuilder), asked=True)
    assert len(found.spec.nodes) == 1
    (said,) = [problem.what for problem in found.warnings if "in one kernel" in problem.what]
    assert why in said


def test_another_language_stays_one_node(write_notebook):
    write_notebook("x.ipynb", "1", "2", kernel="ir", language="R")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True)
    found = prepared(flow)
    assert len(found.spec.nodes) == 1
    assert "it is in r, and only Python is analysed" in str(found.warnings[0])


@pytest.mark.parametrize("tags", [["parameters"], ["injected-parameters"]])
def test_an_empty_cell_for_parameters_is_no_place_for_them(folder, tags):
    empty = new_code_cell("", metadata={"tags": tags})
    book = new_notebook(cells=[empty, *(new_code_cell(source) for source in BRANCHES)])
    nbformat.write(book, folder / "x.ipynb")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", params={"a": 1}, cells=True)
    found = prepared(flow)
    assert len(found.spec.nodes) == 1
    assert any("does not run as a cell" in problem.what for problem in found.warnings)


def test_a_syntax_error_does_not_keep_cells_from_being_cut(write_notebook):
    write_notebook("x.ipynb", *BRANCHES, "this is no Python")
    flow = FlowBuilder("f")
    flow.notebook("x.ipynb", cells=True)
    assert stages(prepared(flow))


def test_a_name_that_is_taken_is_a_fault(flow, write_notebook):
    name = next(iter(stages(prepared(flow))))
    flow.notebook("x.ipynb", name=name)
    with pytest.raises(DefinitionError, match=f"would be the node '{name}', whose name is taken"):
        prepared(flow)


# --- what is learned ------------------------------------------------------------------------------


def test_a_lesson_is_heeded(flow):
    lesson = Lesson(source_digest(LEFT), "barrier")
    apart = Graph(prepared(flow).spec)
    names = {number: name for name, n in stages(prepared(flow)).items() for number in cells_of(n)}
    assert names[3] not in apart.upstream[names[4]]
    found = prepared(flow, learn=learned(lessons=[lesson]))
    assert not stages(found)  # a chain is one stage


@pytest.mark.parametrize(
    ("kind", "name"), [("writes", "table"), ("changes", "table"), ("pinned", "table")]
)
def test_what_was_done_to_a_variable_is_known_next_time(flow, kind, name):
    cell = LOAD if kind == "pinned" else LEFT
    found = prepared(flow, learn=learned(lessons=[Lesson(source_digest(cell), kind, name)]))
    homes = {number: n for n, node in stages(found).items() for number in cells_of(node)}
    # The other branch reads what the first has changed, or cannot leave the kernel.
    assert not homes or homes[3] == homes[4] or homes[3] in Graph(found.spec).upstream[homes[4]]


# --- going on -------------------------------------------------------------------------------------


def again(flow, before, **asked):
    return prepared(flow, earlier=before.spec, **asked)


def test_unchanged_cells_stay_cut_as_they_are(flow):
    before = prepared(flow)
    after = again(flow, before, learn=learned(0.0))
    assert after.spec == before.spec
    plain = prepared(flow, learn=lambda _path: LearnedCells())
    assert again(flow, plain).spec == plain.spec


def test_an_edit_of_one_cell_is_a_change_of_its_stage_alone(flow, write_notebook):
    before = prepared(flow)
    edited = LEFT + " + 1"
    write_notebook("x.ipynb", IMPORT, LOAD, edited, RIGHT, SHOW)
    after = again(flow, before, learn=learned(slow=(edited, RIGHT)))
    old, new = stages(before), stages(after)
    assert old.keys() == new.keys()
    changed = {name for name in new if old[name].identity.code != new[name].identity.code}
    assert changed == {name for name in new if 3 in cells_of(new[name])}
    assert nodes(before)["x"].identity.code != nodes(after)["x"].identity.code


def test_an_edited_cell_is_expected_to_take_as_long_as_before(flow, write_notebook):
    before = prepared(flow)
    edited = LEFT + " + 1"
    write_notebook("x.ipynb", IMPORT, LOAD, edited, RIGHT, SHOW)
    order = tuple(source_digest(cell) for cell in BRANCHES)
    known = LearnedCells(learned()("").seconds, {}, order)
    after = again(flow, before, learn=lambda _path: known)
    assert stages(after).keys() == stages(before).keys()


def test_as_many_branches_are_cut_as_can_run_at_once(flow):
    assert stages(prepared(flow, slots=4))
    assert not stages(prepared(flow, slots=1))


def test_texts_between_cells_move_them_and_cut_nothing(flow, folder):
    before = prepared(flow)
    book = nbformat.read(folder / "x.ipynb", 4)
    book.cells.insert(0, new_markdown_cell("# Title"))
    nbformat.write(book, folder / "x.ipynb")
    after = again(flow, before, learn=learned(0.0))
    assert [cells_of(node) for node in stages(after).values()] == [
        cells_of(node) for node in stages(before).values()
    ]
    indices = sorted(index for place in nodes(after)["x"].stages for index in place.cells)
    assert indices == [1, 2, 3, 4, 5]


def test_a_new_output_is_found_a_stage(write_notebook):
    write_notebook("x.ipynb", *BRANCHES)

    def written(*outputs):
        flow = FlowBuilder("f")
        flow.notebook("x.ipynb", cells=True, outputs=outputs)
        return flow

    before = prepared(written("low"))
    after = again(written("low", "high"), before)
    values = sorted(value for node in stages(after).values() for value in node.outputs)
    assert values == ["value/high", "value/low"]


def test_a_flow_that_cannot_be_read_again_keeps_its_stages(flow):
    before = prepared(flow)
    assert refreshed(before.spec) == (before.spec, {}, [])


def test_a_mended_notebook_is_cut_again(flow, write_notebook):
    before = prepared(flow)
    path = write_notebook("x.ipynb", *BRANCHES, "print(low)")
    spec, blobs, problems = refreshed(before.spec, cells=CellsAsked(learn=learned()))
    assert (list(blobs.values()), problems) == ([path.read_bytes()], [])
    assert {node.code.digest for node in spec.nodes} == set(blobs)
    numbers = [n for node in spec.nodes if node.is_stage for n in cells_of(node)]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert any("has changed" in sentence for sentence in flow_changes(before.spec, spec))


def test_a_notebook_that_is_gone_keeps_its_stages(flow, folder):
    before = prepared(flow)
    (folder / "x.ipynb").unlink()
    spec, blobs, problems = refreshed(before.spec)
    assert (spec, blobs) == (before.spec, {})
    assert [problem.severity for problem in problems] == ["warning"]


def test_a_stage_is_told_by_what_it_runs(flow):
    found = stages(prepared(flow))
    codes = {node.identity.code for node in found.values()}
    assert len(codes) == len(found)
    assert all(isinstance(node.code, NotebookCode) for node in found.values())
