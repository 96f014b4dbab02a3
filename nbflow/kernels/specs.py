"""Kernel specifications: which kernels this machine can start, and of which language."""

from pathlib import PurePath

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.kernelspec import NoSuchKernel as _NotInstalled

from nbflow.kernels.errors import NoSuchKernel


def kernel_names() -> frozenset[str]:
    """Return the names of all kernels that this process could start."""
    return frozenset(KernelSpecManager().find_kernel_specs())


def kernel_language(name: str) -> str:
    """Return the language of the kernel `name`, as its specification writes it.

    Raises
    ------
    NoSuchKernel
        If it is not installed here.
    """
    return str(find_spec(name).language or "")


def find_spec(name: str) -> KernelSpec:
    """Return the specification of the kernel `name`; `NoSuchKernel` if it is not installed here."""
    manager = KernelSpecManager()
    try:
        return manager.get_kernel_spec(name)
    except _NotInstalled:
        raise NoSuchKernel(name, manager.find_kernel_specs()) from None


def is_ipykernel(spec: KernelSpec) -> bool:
    """Whether `spec` starts IPython's own kernel, whose abilities we know."""
    return any(
        part in {"ipykernel", "ipykernel_launcher"}
        or PurePath(part).name == "ipykernel_launcher.py"
        for part in spec.argv
    )
