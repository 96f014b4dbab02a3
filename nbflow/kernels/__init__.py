"""Kernels: processes that run a notebook's cells, started by name.

`start_kernel` is the one way in; what stands behind it (an ordinary start, or a fork
out of a `WarmPool`) does not show. The `Kernel` that it returns speaks
Jupyter's protocol through `jupyter_client`, so that nbclient can use it as it is.

The names below are loaded when they are first used: some parts of this package need no
jupyter_client (which modules survive a fork, where folders lie), and nor do those who use them.
"""

from typing import TYPE_CHECKING

from nbflow._lazy import lazily

if TYPE_CHECKING:
    from nbflow.kernels.errors import (
        EvaluationFailed,
        KernelDied,
        KernelStartFailed,
        NoSuchKernel,
        NoSuchPython,
        UnusableKernel,
    )
    from nbflow.kernels.kernel import Kernel
    from nbflow.kernels.launching import START_TIMEOUT_S, start_kernel
    from nbflow.kernels.pool import NotPreloaded, PoolStats, WarmPool
    from nbflow.kernels.provisioner import Wishes
    from nbflow.kernels.specs import kernel_language, kernel_names

_PLACES = {
    "EvaluationFailed": ".errors",
    "Kernel": ".kernel",
    "KernelDied": ".errors",
    "KernelStartFailed": ".errors",
    "NoSuchKernel": ".errors",
    "NoSuchPython": ".errors",
    "NotPreloaded": ".pool",
    "PoolStats": ".pool",
    "START_TIMEOUT_S": ".launching",
    "UnusableKernel": ".errors",
    "WarmPool": ".pool",
    "Wishes": ".provisioner",
    "kernel_language": ".specs",
    "kernel_names": ".specs",
    "start_kernel": ".launching",
}

__all__ = [
    "START_TIMEOUT_S",
    "EvaluationFailed",
    "Kernel",
    "KernelDied",
    "KernelStartFailed",
    "NoSuchKernel",
    "NoSuchPython",
    "NotPreloaded",
    "PoolStats",
    "UnusableKernel",
    "WarmPool",
    "Wishes",
    "kernel_language",
    "kernel_names",
    "start_kernel",
]

__getattr__ = lazily(__name__, _PLACES)
