"""Kernels: processes that run a notebook's cells, started by name.

`start_kernel` is the one way in; what stands behind it (an ordinary start today, a
warm fork later) does not show. The `Kernel` that it returns speaks
Jupyter's protocol through `jupyter_client`, so that nbclient can use it as it is.
"""

from nbflow.kernels.errors import (
    EvaluationFailed,
    KernelDied,
    KernelStartFailed,
    NoSuchKernel,
    UnusableKernel,
)
from nbflow.kernels.kernel import Kernel
from nbflow.kernels.launching import START_TIMEOUT_S, start_kernel
from nbflow.kernels.specs import kernel_language, kernel_names

__all__ = [
    "START_TIMEOUT_S",
    "EvaluationFailed",
    "Kernel",
    "KernelDied",
    "KernelStartFailed",
    "NoSuchKernel",
    "UnusableKernel",
    "kernel_language",
    "kernel_names",
    "start_kernel",
]
