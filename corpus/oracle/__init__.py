"""How far the cells of a notebook could run side by side at most: what a run has shown.

The notebook runs once more, in order, in an ordinary kernel with a tracer in it (`guest`). The
tracer notes of each cell which variables it reads, binds and changes, which files it touches, which
generators of random numbers it uses. What a cell has read, and who had written that last, are
the true dependences of this run (`bound`). Cells divided by the longest chain of them are the bound
that any analysis of the text can reach at most.

How it sees, and what it does not:

=========== ================================ =====================================================
of          it sees                          it misses, so that the bound is too high; or too low
=========== ================================ =====================================================
reads       each look-up of a global name,   C code that looks into the namespace (too high); what
            in cells, functions, `eval`      is looked up and not used is read (too low)
bindings    which object a name has, before  a name bound to the same object again (too high)
            and after the cell
changes     a digest of the pickled value,   what cannot be pickled, is larger than `LIMIT_BYTES` or
            before and after                 comes after `LIMIT_S` (too high); caches that a library
                                             fills inside a value count as changes (too low)
iterators   each read is a change            an iterator inside another value (too high)
files       Python's audit events            libraries that open files themselves (too high)
generators  the state, before and after      other libraries than random and numpy (too high)
=========== ================================ =====================================================

Reading a variable is reading all that can be reached from it: if a part was changed by way of
another name, its digest has changed as well, and the reader depends on who did that.
Modules, and what modules have, are no dependence: each kernel can import them for itself.
"""

from corpus.oracle.bound import Bound, bound_of
from corpus.oracle.tracing import Traced, trace

__all__ = ["Bound", "Traced", "bound_of", "trace"]
