"""Other people's notebooks, run in order and by cells: whether they are the same.

``python -m corpus DIR`` (``make corpus DIR=…``) takes every notebook below a folder, runs a copy of
it in order, leaves it out if it does not run at all, and then runs it by cells, twice or more, each
time cut and ordered otherwise. A table says what came of it; the exit code is 1 if anything
differed. Without a folder it takes the notebooks that ship inside installed packages.

``finding``   which notebooks there are
``trying``    one notebook, and all that is found out about it
``oracle``    how far the cells of a notebook could run side by side at most, seen while it ran
``summary``   the table
``cases``     notebooks to try, out of other projects' tests of dataflow
"""
