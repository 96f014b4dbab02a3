"""From cells that are ready to be sent to a run that a cluster works on.

The run is one like any other: it is in the journal of the home beside the notebook, and
``nbflow show`` and ``nbflow logs`` know it. Its flow has no file, so it is not resumed.
"""

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import nbformat

from nbflow.core.ids import new_run_id
from nbflow.core.policies import Policy, Timeout
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.stage_results import NAMESPACE
from nbflow.core.stages import StageSpec
from nbflow.core.values import Artifact, FromOutput
from nbflow.magics.errors import Refused

if TYPE_CHECKING:
    from nbflow.cluster.connecting import Target
    from nbflow.session import Run

#: Of the runs that magics start.
FLOW = "session"


class StageNode(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a session as a node.

    Parameters
    ----------
    name
        The node's.
    spec
        The stage.
    takes
        The variables that it takes: as they were when it was sent, or from other nodes.
    brings
        The variables that it is asked for.
    after
        Nodes that must have succeeded before.
    """

    name: str
    spec: StageSpec
    takes: dict[str, Artifact | FromOutput] = {}
    brings: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What one run works on.

    Parameters
    ----------
    sources
        The cells of its notebook.
    nodes
        Its stages.
    path
        Where the notebook would be, for messages.
    known
        Sources of cells by whose imports kernels are prepared.
    timeout_s
        Seconds after which each stage is stopped.
    """

    sources: tuple[str, ...]
    nodes: tuple[StageNode, ...]
    path: Path
    known: tuple[str, ...] = ()
    timeout_s: float | None = None


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session lives.

    Parameters
    ----------
    folder
        The one that it works in.
    home
        The folder of the journal and the artifacts.
    environ
        Variables of the environment that its cells need.
    """

    folder: Path
    home: Path
    environ: dict[str, str] = {}


def surroundings(environ: Mapping[str, str], folder: Path) -> Surroundings:
    """Return where a session lives that works in `folder`."""
    from nbflow.session.home import chosen  # lazy: what is only drawn needs no artifacts

    seed = environ.get("PYTHONHASHSEED")
    return Surroundings(
        folder=folder,
        home=chosen(None, folder, environ),
        environ={} if seed is None else {"PYTHONHASHSEED": seed},
    )


def stored(files: Mapping[str, Path], home: Path) -> dict[str, Artifact]:
    """Put files of variables into the store of a home; several variables may be in one file."""
    from nbflow.session.home import Home

    opened = Home.open(home)
    try:
        kept = {
            path: opened.store.put_file(path, "namespace", type_name=NAMESPACE)
            for path in dict.fromkeys(files.values())
        }
    finally:
        opened.close()
    return {name: kept[path] for name, path in files.items()}


def start(sent: Sent, where: Surroundings, cluster: "Target | None") -> "Run":
    """Start a run and return its handle.

    Raises
    ------
    nbflow.core.errors.NbflowError
        If the cluster or the home cannot be used. Nothing was run.
    """
    # Lazy: what is only drawn needs neither Dask nor a database.
    from nbflow.definition.preparation import Prepared
    from nbflow.session import launching
    from nbflow.session.run import AtExit, Run

    data = nbformat.writes(_notebook(sent.sources)).encode()
    run = new_run_id(FLOW, time.time(), random.Random())
    flow, digest = _flow(sent, where, data, run)
    prepared = Prepared(flow, {}, {digest: data}, ())
    kinds = {"notebook": len(sent.nodes)}
    request = launching.Request(
        run=run,
        target=launching.target_of(cluster, None, kinds),
        home=where.home,
        output_dir=None,
        kinds=kinds,
    )
    launch, home, _ = launching.launch(lambda _kernels: prepared, request)
    AtExit(launch)
    return Run(request.run, home, launch)


def cluster_named(name: str, namespace: Mapping[str, Any]) -> "Target | None":
    """Return the cluster that ``--cluster`` means: an address, a file, or a variable's value.

    Raises
    ------
    Refused
        If it is the name of a variable that is no cluster.
    """
    if not name:
        return None
    if not name.isidentifier():
        return name
    if name not in namespace:
        raise Refused(
            f"there is no variable {name}. --cluster takes the address of a scheduler, a scheduler "
            "file (.json), or a variable with a Client or a Cluster"
        )
    value: Any = namespace[name]
    if isinstance(value, (str, Path)) or hasattr(value, "scheduler_info"):
        return value  # type: ignore[no-any-return]
    raise Refused(f"{name} is a {type(value).__name__}, and no Client, Cluster or address")


def _flow(sent: Sent, where: Surroundings, data: bytes, run: str) -> tuple[FlowSpec, str]:
    from nbflow.artifacts.digests import digest_of
    from nbflow.kernels.preloading import fork_safe
    from nbflow.notebooks.imports import imported_modules

    digest = digest_of(data)
    limit = Timeout() if sent.timeout_s is None else Timeout(hard=sent.timeout_s)
    nodes = tuple(
        NodeSpec(
            name=node.name,
            code=NotebookCode(
                str(sent.path),
                digest,
                cwd=str(where.folder),
                env=where.environ,
                stage=msgspec.structs.replace(node.spec, origin=f"{run}/{node.name}"),
            ),
            params=dict(node.takes),
            after=node.after,
            outputs=node.brings,
            policy=Policy(timeout=limit),
        )
        for node in sent.nodes
    )
    imports = {module for source in sent.known for module in imported_modules(source)}
    return FlowSpec(name=FLOW, nodes=nodes, preload=fork_safe(sorted(imports))), digest


def _notebook(sources: Sequence[str]) -> Any:
    """Return a notebook of these cells, in which each is known by its place."""
    cells = []
    for place, source in enumerate(sources):
        cell = nbformat.v4.new_code_cell(source)
        cell["id"] = f"cell-{place}"
        cells.append(cell)
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": spec, "language_info": {"name": "python"}}
    )


def working_folder() -> Path:
    """Return the folder that the session works in."""
    return Path.cwd()
