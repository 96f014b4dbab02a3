"""The pure core: what a flow is, what has happened to a run, and what must happen next.

Nothing here performs I/O, reads a clock, or knows Dask or Jupyter. Events go
in, states and commands come out.
"""
