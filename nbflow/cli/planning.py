"""Commands about flows that run nothing: ``check``, ``graph``, ``schema``."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from nbflow.cli.cell_dependencies import check_cells, draw_cells
from nbflow.cli.errors import USAGE, problem_lines
from nbflow.cli.options import (
    examples,
    home_option,
    json_option,
    parameter_options,
    target_argument,
)
from nbflow.core.errors import DefinitionError, Problem

if TYPE_CHECKING:
    from nbflow.drawing import Format
    from nbflow.session import Flow

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.

#: The formats of `nbflow.drawing`, known here without its import.
_FORMATS: "tuple[Format, ...]" = ("text", "mermaid", "dot", "svg", "json")


@click.command(epilog=examples("nbflow check flow.yaml -p date 2026-02-01"))
@target_argument
@parameter_options
@click.option(
    "--cells",
    is_flag=True,
    help="Of a notebook, say what keeps its cells from running side by side, and what frees them.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context, *, target: str, params: dict[str, Any], cells: bool, as_json: bool
) -> None:
    """Look for faults in a flow; run nothing.

    Everything is looked at before anything is said: cycles, unknown nodes and parameters, missing
    or damaged notebooks, kernels that do not exist, wrong types. The exit code is 2 if there is a
    fault; a warning is none.
    """
    from nbflow.cli.text import print_json

    if cells:
        check_cells(target, as_json=as_json)
        return
    flow, problems = _examined(target, params)
    faults = sum(problem.severity == "error" for problem in problems)
    if as_json:
        print_json(_check_document(target, flow, problems))
    else:
        for line in problem_lines(problems):
            print(line)
        print(_verdict(target, flow, problems))
    ctx.exit(USAGE if faults else 0)


@click.command(
    epilog=examples("nbflow graph flow.yaml", "nbflow graph flow.yaml --format svg -o flow.svg")
)
@target_argument
@click.option(
    "--format",
    "fmt",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="text for a terminal, mermaid for Markdown, dot for Graphviz, svg, or json.",
)
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    metavar="FILE",
    help="Write to a file instead of to standard output.",
)
@click.option(
    "--cells",
    is_flag=True,
    help="Of a notebook, draw what its cells could be cut into; of a flow, the stages in which "
    "run --cells would run the cells of its notebooks now.",
)
@home_option
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def graph(
    *,
    target: str,
    fmt: "Format",
    output: TextIO,
    cells: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Draw a flow; run nothing."""
    from nbflow.session import load

    wanted: Format = "json" if as_json else fmt
    if cells and target.endswith(".ipynb"):
        picture = draw_cells(target, wanted)
        click.echo(picture, file=output, nl=not picture.endswith("\n"))
        return
    flow = load(target)
    faults = [problem for problem in flow.check() if problem.severity == "error"]
    if faults:
        # What is faulty may have no picture: a node that waits for itself, or for none.
        raise DefinitionError(faults)
    picture = flow.graph(cells=cells, home=home).render(wanted)
    click.echo(picture, file=output, nl=not picture.endswith("\n"))


@click.command(epilog=examples("nbflow schema > flow.schema.json"))
def schema() -> None:
    """Print the JSON Schema of flow files, for editors."""
    file = resources.files("nbflow") / "definition" / "flow.schema.json"
    click.echo(file.read_text("utf-8"), nl=False)


def _examined(target: str, params: dict[str, Any]) -> "tuple[Flow | None, tuple[Problem, ...]]":
    """Return the flow, if it can be read at all, and everything that is wrong with it."""
    from nbflow.kernels import kernel_names
    from nbflow.session import load

    try:
        flow = load(target)
    except DefinitionError as error:
        return None, error.problems
    return flow, tuple(flow.check(params, kernels=kernel_names()))


def _verdict(target: str, flow: "Flow | None", problems: tuple[Problem, ...]) -> str:
    from nbflow.drawing.words import plural

    faults = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - faults
    if flow is None or faults:
        also = f" and {plural(warnings, 'warning')}" if warnings else ""
        return f"{target}: {plural(faults, 'fault')}{also}"
    said = plural(warnings, "warning") if warnings else "nothing wrong"
    nodes, edges = len(flow.nodes), _edge_count(flow)
    return f"{target}: {plural(nodes, 'node')}, {plural(edges, 'edge')}: {said}"


def _check_document(
    target: str, flow: "Flow | None", problems: tuple[Problem, ...]
) -> dict[str, Any]:
    ok = all(problem.severity != "error" for problem in problems)
    return {
        "target": target,
        "ok": ok,
        "flow": None if flow is None else flow.name,
        "nodes": None if flow is None else len(flow.nodes),
        "edges": _edge_count(flow) if flow is not None and ok else None,
        "problems": [
            {
                "severity": problem.severity,
                "place": problem.place,
                "node": problem.node,
                "what": problem.what,
                "fix": problem.fix,
            }
            for problem in problems
        ],
    }


def _edge_count(flow: "Flow") -> int:
    from nbflow.core.graph import edges_of

    return len(set(edges_of(flow.spec())))
