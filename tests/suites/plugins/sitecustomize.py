"""Makes nbflow the default engine of ``python -m papermill``, when this folder is in PYTHONPATH.

Every Python process imports this; in all others, kernels among them, it does nothing.
"""

import os
import sys

if "papermill" in sys.orig_argv[1:3] and os.environ.get("NBFLOW_SUITE_ENGINE") == "nbflow":
    import nbflow_for_papermill  # noqa: F401 - for what it does
