"""The driver: the loop that owns a run.

Stimuli come in (reports of the cluster, timers, requests to stop), become
events, go through the machine, into the journal, and only then take effect.
The loop knows ports, not adapters, and can live in the user's process or any other.
"""

from nbflow.driver.driver import Driver
from nbflow.driver.surroundings import Resumption, Surroundings

__all__ = ["Driver", "Resumption", "Surroundings"]
