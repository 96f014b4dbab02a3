"""Chaos: kill anything, at any moment, and see whether anything was lost.

``python -m chaos`` (``make chaos``) runs a small flow (`subject/`) again and again, and
kills its processes meanwhile: drivers, workers, kernels, fork servers, schedulers. Each run is
resumed until it ends; then its answer is compared with that of an undisturbed run, and its journal
with what the nodes themselves have marked. ``python -m chaos.sweep`` instead ends the driver at
each of its durable steps, one after the other, without a cluster.

``crash_points``  a process that ends itself at the n-th durable step
``driving``       `nbflow`'s command line with such an end built in
``in_process``    a cluster inside the driver's process
``sweep``         all durable steps, one after the other
``marks``         what nodes say of themselves
``answers``       what a run has come to, and what is wrong with its history
``processes``     finding and ending processes
``outside``       a scheduler and workers that are not the driver's
``disturbing``    one run, disturbed until it ends
``lanes``         many of them, and the figures
"""
