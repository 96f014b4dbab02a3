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
``tables``     arrays that tables share, unseen
``marks``      what modules look like, to find out if somebody has changed them
``settings``   what is set in a process besides its variables, and can be set again
``facts``      what cannot be set again, and so must be as it was
``files``      which files the cells have touched
``state``      what is to be kept, and whether it can be
``forking``    do something in a copy of the process
``keeping``    the requests: begin, keep, restore
=============  ================================================================

The kernel of a stage (some cells of a notebook) is sent others besides: `STAGE_MODULES`.

================  =============================================================
``parcels``       a file with variables, whose arrays lie in memory as they are
``sources``       the cells that functions come from
``carrying``      functions and classes that are the same by whichever way they come
``sharing``       which variables have to travel together
``giving``        write variables, and look whether a copy is the same
``unchanged``     whether a value is what it was
``effects``       files and programs that cells have touched
``generators``    the states of global random generators
``surroundings``  settings, and what runs in the background
``stage``         what is done before a cell, and at the end
``serving``       the requests: begin, before a cell, end
================  =============================================================
"""

MODULES = (
    "rules",
    "graph",
    "moving",
    "sameness",
    "tables",
    "marks",
    "settings",
    "files",
    "facts",
    "state",
    "forking",
    "keeping",
)

STAGE_MODULES = (
    "rules",
    "graph",
    "moving",
    "sameness",
    "tables",
    "settings",
    "files",
    "parcels",
    "sources",
    "carrying",
    "sharing",
    "giving",
    "unchanged",
    "effects",
    "generators",
    "surroundings",
    "stage",
    "serving",
)
