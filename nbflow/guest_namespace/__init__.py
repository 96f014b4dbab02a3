"""What runs inside a kernel to take its variables to another kernel.

The kernel's environment may have no nbflow. So these modules import the standard library and
cloudpickle (and what they find loaded), and travel as one text: `guest_text` of
`nbflow.notebooks.checkpoints` joins them in the order of `MODULES`, without their imports of one
another. Hence no two of them may use one name for two things.

=============  ================================================================
``graph``      what variables consist of, and who else holds a part of it
``rules``      which objects a copy can stand for
``moving``     a pickler that binds to the kernel's own namespace, and its reader
``sameness``   whether a copy is the same
``marks``      what modules look like, to find out if somebody has changed them
``settings``   what is set in a process besides its variables, and can be set again
``facts``      what cannot be set again, and so must be as it was
``files``      which files the cells have touched
``state``      what is to be kept, and whether it can be
``forking``    do something in a copy of the process
``keeping``    the requests: begin, keep, restore
=============  ================================================================
"""

MODULES = (
    "rules",
    "graph",
    "moving",
    "sameness",
    "marks",
    "settings",
    "files",
    "facts",
    "state",
    "forking",
    "keeping",
)
