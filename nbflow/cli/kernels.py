"""The command that lets other programs use warm kernels: ``install-kernel``."""

import sys

import click

from nbflow.cli.options import examples


@click.command(
    "install-kernel",
    epilog=examples(
        "nbflow install-kernel --preload pandas --preload sklearn.linear_model",
        "papermill in.ipynb out.ipynb -k warm-python",
    ),
)
@click.option("--name", default="warm-python", show_default=True, help="The kernel's name.")
@click.option(
    "--display-name", default="Python (warm)", show_default=True, help="What people see of it."
)
@click.option(
    "--preload",
    multiple=True,
    metavar="MODULE",
    help="A module that is loaded before kernels are forked. May be repeated.",
)
@click.option("--user", is_flag=True, help="Install for the user, not into this environment.")
@click.option("--prefix", metavar="DIR", help="Install into another environment's folder.")
def install_kernel(
    *, name: str, display_name: str, preload: tuple[str, ...], user: bool, prefix: str | None
) -> None:
    """Install a kernel that starts warm, for other programs.

    Jupyter, papermill and nbconvert then fork this environment's kernels from a server that
    has them loaded already. nbflow itself needs no such kernel: its own are warm anyway.
    """
    from nbflow.kernels.installing import install_warm_kernel  # lazy: jupyter_client is slow

    if user and prefix is not None:
        raise click.UsageError("--user and --prefix exclude each other")
    try:
        folder = install_warm_kernel(
            name,
            display_name=display_name,
            preload=preload,
            prefix=None if user else prefix or sys.prefix,
        )
    except (OSError, ValueError) as error:
        raise click.UsageError(f"the kernel {name!r} cannot be installed: {error}") from error
    print(f"the kernel {name!r} is installed in {folder}")
