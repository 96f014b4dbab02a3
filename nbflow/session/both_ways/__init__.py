"""One notebook both ways, in order and by cells: whether they are the same, and which is faster.

=========== ==============================================================================
`schedules` which cells are to be stages, and which of them go first: any choice must be right
`copies`    a notebook's folder for one run alone, and the files that come out of it
`ways`      one run, and all that came of it
`verifying` runs side by side: what differs, and whether it has to be equal
`timing`    how long each way takes, cell by cell, and the bound of what can be won
=========== ==============================================================================

Every run has a fresh copy of the notebook's folder, at one and the same path, so that no run sees
what another one has written, and none is told apart by where it runs. All of it is gone afterwards.
"""

from nbflow.session.both_ways.copies import Asked
from nbflow.session.both_ways.schedules import Schedule
from nbflow.session.both_ways.timing import Bench, bench
from nbflow.session.both_ways.verifying import Verified, verify
from nbflow.session.both_ways.ways import Way

__all__ = ["Asked", "Bench", "Schedule", "Verified", "Way", "bench", "verify"]
