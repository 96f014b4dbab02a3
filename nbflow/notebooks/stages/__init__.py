"""Stages of a notebook on a worker.

================ ==========================================================================
`cutting`        the notebook of a stage, and where its cells belong
`stage_kernel`   what a kernel is asked before the cells, between them, and at the end
`earlier_names`  what another stage may have bound
`native_files`   files that Python does not know of
`assembling`     the whole notebook out of the stages' notebooks
================ ==========================================================================
"""
