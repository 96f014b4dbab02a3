"""nbflow's command line, in a process that is prepared to be disturbed.

``python -m chaos.driving ARGUMENTS…`` is ``nbflow ARGUMENTS…``, with these variables:

``CHAOS_LEASE_S``   leases last so long, so that a stopped driver need not be waited for
``CHAOS_POINT``     the driver ends itself at this of its durable steps (`crash_points`)
``CHAOS_TOLD``      the file that says which step that was
``CHAOS_FOLDER``    the folder in which steps are counted
``CHAOS_HOLDER``    the driver says that it is this one, as if it were on another machine
"""

import os
import sys
from pathlib import Path

from chaos.crash_points import CrashPoints


def prepare() -> None:
    """Do what the variables say."""
    from nbflow.driver import lease
    from nbflow.session import launch, launching

    if "CHAOS_LEASE_S" in os.environ:
        lease.LEASE_TTL_S = launching.LEASE_TTL_S = float(os.environ["CHAOS_LEASE_S"])
    if "CHAOS_HOLDER" in os.environ:
        holder = os.environ["CHAOS_HOLDER"]
        launch.driver_name = launching.driver_name = lambda: holder
    if "CHAOS_POINT" in os.environ:
        points = CrashPoints(int(os.environ["CHAOS_POINT"]), Path(os.environ["CHAOS_TOLD"]))
        points.watch(Path(os.environ["CHAOS_FOLDER"]))


if __name__ == "__main__":
    prepare()
    from nbflow.cli import main

    sys.exit(main())
