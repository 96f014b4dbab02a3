"""What a node is, as digests, so that a later run can tell what has changed.

==================  =====================================================================
`identities`        the identity of each node of a flow
`cells`             what the cells of a notebook reach: `scanning`, `folders` for Python
`modules`           the local modules behind that; `sources` reads their files
`functions`         what a function is: `bytecode`, the `values` that it holds, `loaded` modules
`environment`       what runs a node
==================  =====================================================================

Wrong is worse than slow. What cannot be told is said in words, and such a node is never taken from
a cache.
"""
