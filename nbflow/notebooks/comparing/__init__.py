"""Compare two executed notebooks, cell by cell.

What two runs of one notebook give can differ where nothing is wrong: an address, how long a
line took, the names of temporary folders. Such things are brought to one form first, each by a
row of one table (`rules`) with its reason. Everything else has to be equal.

============== ====================================================================
`rules`        the table: what cannot be equal, and what stands for it
`pictures`     images by their pixels
`shown`        the outputs of a cell as texts that can be compared
`metadata`     what of the metadata tells what has happened, and not when and where
`differences`  two notebooks side by side
============== ====================================================================

Everything here is a function of its arguments: nothing is run, read or written.
"""

from nbflow.notebooks.comparing.differences import Difference, compare, compare_files, compare_texts
from nbflow.notebooks.comparing.rules import RULES, Rule

__all__ = ["RULES", "Difference", "Rule", "compare", "compare_files", "compare_texts"]
