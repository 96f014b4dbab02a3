"""Kernel specifications: which kernels this machine can start, and of which language."""

import functools
import os
from pathlib import Path, PurePath

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.kernelspec import NoSuchKernel as _NotInstalled
from traitlets import TraitError

from nbflow.kernels.errors import NoSuchKernel, NoSuchPython, UnusableKernel

#: Folder of the specification that ipykernel brings along, which is nobody's to change. Another
#: one's name can differ in case from its kernel's.
_NATIVE = "resources"
#: Variables on which depends where Jupyter looks for specifications.
_DECIDE_WHERE = (
    "APPDATA",
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "HOME",
    "IPYTHONDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_PATH",
    "JUPYTER_PLATFORM_DIRS",
    "JUPYTER_PREFER_ENV_PATH",
    "PROGRAMDATA",
    "PYTHONUSERBASE",
    "XDG_DATA_HOME",
)


def kernel_names() -> frozenset[str]:
    """Return the names of all kernels that this process could start."""
    return frozenset(KernelSpecManager().find_kernel_specs())


def kernel_language(name: str) -> str:
    """Return the language of the kernel `name`, as its specification writes it.

    Raises
    ------
    NoSuchKernel, UnusableKernel
        If it is not installed here, or its specification is faulty.
    """
    return str(find_spec(name).language or "")


def find_spec(name: str) -> KernelSpec:
    """Return the specification of the kernel `name`.

    Raises
    ------
    NoSuchKernel, UnusableKernel
        If it is not installed here, or its specification is faulty.
    """
    # Each kernel's start asks. It is sought again only when that may have another end.
    variables = tuple(map(os.environ.get, _DECIDE_WHERE))
    places = _places(variables)
    files = tuple(f"{place}/{name}/kernel.json" for place in places)
    spec = _found(name, variables, tuple(map(_written_at, places + files)))
    return spec if Path(spec.resource_dir).name in {name, _NATIVE} else _sought(name)


@functools.lru_cache(maxsize=8)
def _places(_: tuple[str | None, ...]) -> tuple[str, ...]:
    """Return the folders in which Jupyter looks, with these values of what decides that."""
    return tuple(KernelSpecManager().kernel_dirs)


@functools.lru_cache(maxsize=32)
def _found(name: str, _: tuple[str | None, ...], __: tuple[int | None, ...]) -> KernelSpec:
    """Return what is found, with these values, and folders and files of these times."""
    return _sought(name)


def _sought(name: str) -> KernelSpec:
    manager = KernelSpecManager()
    try:
        spec = manager.get_kernel_spec(name)
    except _NotInstalled:
        raise NoSuchKernel(name, manager.find_kernel_specs()) from None
    except (OSError, TypeError, ValueError, TraitError) as error:
        folder = manager.find_kernel_specs().get(name, "")
        what = f"cannot be read ({type(error).__name__}: {error})"
        raise UnusableKernel(name, folder, what) from error
    if not spec.argv:
        raise UnusableKernel(name, spec.resource_dir, "has no argv, the command that starts it")
    return spec


def _written_at(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - for a dozen paths, at each start
    except OSError:
        return None


def spec_of_python(python: str) -> KernelSpec:
    """Return a specification of the IPython kernel of an interpreter, or an environment's folder.

    Raises
    ------
    NoSuchPython
        If there is no such interpreter here.
    """
    place = Path(python).expanduser()
    program = place / "bin" / "python" if place.is_dir() else place
    if not os.access(program, os.X_OK):
        raise NoSuchPython(python)
    return KernelSpec(
        argv=[str(program), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name=python,
        language="python",
    )


def is_ipykernel(spec: KernelSpec) -> bool:
    """Whether `spec` starts IPython's own kernel, whose abilities we know."""
    return any(
        part in {"ipykernel", "ipykernel_launcher"}
        or PurePath(part).name == "ipykernel_launcher.py"
        for part in spec.argv
    )
