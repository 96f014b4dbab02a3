"""Notebook files: read, parameterized, executed in a kernel, saved, and their outputs collected.

papermill's and nbclient's contracts are kept by using their code: papermill injects the
parameters and keeps the metadata, nbclient runs the cells. What is ours is the truth of the
statuses, the limits, and the way in and out for values that are not JSON.

Each step is a module: `reading`, `parameters`, `execution` (with `guard` and `metadata`),
`saving` (with `splicing`, `writing` and `encoding`), `outputs` (with `emitted` and `captured`).
"""

from nbflow._jsonschema import defer_grammar

# Before any module here imports nbformat.
defer_grammar()
