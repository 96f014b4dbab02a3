"""Install a kernel specification by which other programs get warm kernels."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

PROVISIONER = "nbflow-warm"


def install_warm_kernel(
    name: str, *, display_name: str, preload: Sequence[str], prefix: str | None
) -> Path:
    """Install a specification for warm kernels of this Python, and return its folder.

    Parameters
    ----------
    name
        The kernel's name, as in ``papermill -k NAME``.
    display_name
        What people see.
    preload
        Modules that the fork server loads before it forks.
    prefix
        Environment to install into; None for the user's own folder.

    Raises
    ------
    OSError
        If the folder cannot be written.
    ValueError
        If `name` cannot be a kernel's name.
    """
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {
                "provisioner_name": PROVISIONER,
                "config": {"preload": list(preload)},
            },
        },
    }
    with tempfile.TemporaryDirectory() as source:
        Path(source, "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", "utf-8")
        # `prefix` is ignored where `user` is set.
        installed = KernelSpecManager().install_kernel_spec(
            source, kernel_name=name, user=prefix is None, prefix=prefix
        )
    return Path(installed)
