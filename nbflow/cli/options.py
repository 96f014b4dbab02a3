"""Options that several commands share. A group of options hands on one value."""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from nbflow.cli.parameters import collected

if TYPE_CHECKING:
    from nbflow.cluster import Embedded

Command: TypeAlias = Callable[..., Any]

#: What ``--help`` shows in the place of a value.
_PAIR = "NAME VALUE"


def examples(*commands: str) -> str:
    """Return the end of a help text; its lines stay as they are."""
    title = "Example" if len(commands) == 1 else "Examples"
    return "\n".join(["\b", f"{title}:", *(f"  {command}" for command in commands)])


target_argument = click.argument("target", metavar="TARGET")
run_argument = click.argument("run", metavar="RUN")

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="H",
    help="Folder of the journal and the artifacts. By default NBFLOW_HOME or a folder .nbflow: "
    "beside the flow for run, else found from the current folder upwards.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs, on standard output."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """The cluster that the command line asks for."""

    #: Address of a scheduler or path of a scheduler file; None for an embedded cluster.
    cluster: str | None = None
    workers: int | None = None
    resources: dict[str, float] = field(default_factory=dict)
    dashboard: bool = False

    def target(self) -> "Embedded | str":
        """Return what `Flow.run` takes as its cluster."""
        if self.cluster is not None:
            return self.cluster
        from nbflow.session.importing import without_collection

        # Lazy: this is Dask.
        with without_collection():
            from nbflow.cluster import Embedded

        return Embedded(workers=self.workers, resources=self.resources, dashboard=self.dashboard)


def parameter_options(command: Command) -> Command:
    """Add papermill's options for parameters; the command gets them as ``params``."""

    @click.option("-p", "--parameters", nargs=2, multiple=True, metavar=_PAIR, help=_P_HELP)
    @click.option("-r", "--parameters_raw", nargs=2, multiple=True, metavar=_PAIR, help=_R_HELP)
    @click.option("-f", "--parameters_file", multiple=True, metavar="FILE", help=_F_HELP)
    @click.option("-y", "--parameters_yaml", multiple=True, metavar="YAML", help=_Y_HELP)
    @click.option("-b", "--parameters_base64", multiple=True, metavar="BASE64", help=_B_HELP)
    @functools.wraps(command)
    def with_params(
        *,
        parameters: tuple[tuple[str, str], ...],
        parameters_raw: tuple[tuple[str, str], ...],
        parameters_file: tuple[str, ...],
        parameters_yaml: tuple[str, ...],
        parameters_base64: tuple[str, ...],
        **others: Any,
    ) -> Any:
        params = collected(
            encoded=parameters_base64,
            files=parameters_file,
            texts=parameters_yaml,
            pairs=parameters,
            raw=parameters_raw,
        )
        return command(params=params, **others)

    return with_params


_P_HELP = "A parameter; numbers, True, False and None are cast. May be repeated, as all of these."
_R_HELP = "A parameter whose value stays text."
_F_HELP = "Parameters from a YAML or JSON file."
_Y_HELP = "Parameters as YAML."
_B_HELP = "Parameters as YAML in base64."


def cluster_options(command: Command) -> Command:
    """Add the options that choose a cluster; the command gets them as ``choice``."""

    @click.option(
        "--cluster",
        metavar="C",
        help="Address of a Dask scheduler, or a scheduler file (.json). By default a cluster "
        "on this machine, for this run alone.",
    )
    @click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Worker processes of the cluster on this machine.",
    )
    @click.option(
        "--worker-resource",
        type=(str, click.FloatRange(min=0, min_open=True)),
        multiple=True,
        metavar="NAME AMOUNT",
        help="A Dask resource that each of these workers offers, as in: GPU 1.",
    )
    @click.option("--dashboard", is_flag=True, help="Serve Dask's dashboard on this machine.")
    @functools.wraps(command)
    def with_cluster(
        *,
        cluster: str | None,
        workers: int | None,
        worker_resource: tuple[tuple[str, float], ...],
        dashboard: bool,
        **others: Any,
    ) -> Any:
        if cluster is not None and (workers is not None or worker_resource or dashboard):
            raise click.UsageError(
                "--workers, --worker-resource and --dashboard are for the cluster on this "
                "machine; the one that --cluster names has its own"
            )
        if dashboard and importlib.util.find_spec("bokeh") is None:
            raise click.UsageError("--dashboard needs bokeh. Install it: pip install bokeh")
        choice = ClusterChoice(cluster, workers, dict(worker_resource), dashboard)
        return command(choice=choice, **others)

    return with_cluster
