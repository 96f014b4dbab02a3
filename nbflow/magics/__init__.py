"""Magics: nbflow in a live session, loaded by ``%load_ext nbflow``.

================== ================================================================
`extension`        the magics; `arguments` parses what is written behind them
`live`             one session: cells go out, results come back between two cells
`planning`         from a cell to a stage that can run elsewhere; `needs` looks at the
                   live variables for that, `executed` at the cells before
`sending`          from stages to a run; `node` is a cell that was sent, `following`
                   its thread
`variables`        how variables leave the kernel, and come into it
`claims`           which value a variable gets, when several want to bind it
`outputs`          where the outputs appear
`stale`            ``%nbflow run``: which cells of the notebook have to run again
`drawing`          ``%nbflow graph``, ``why`` and ``check``; `open_notebook` finds the file
================== ================================================================

A cell goes through the very machinery by which the cells of a notebook become nodes of a flow: it
may only do what is known of it, and is watched. What it does beyond that is a conflict, and then
nothing of it is taken over.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.magics.extension import NbflowMagics

#: Under this name IPython's registry has the magics of a session.
_REGISTERED = "NbflowMagics"


def load(shell: Any) -> None:
    """Add the magics to a session; called by ``%load_ext nbflow``."""
    from nbflow.magics.extension import NbflowMagics  # lazy: IPython

    shell.register_magics(NbflowMagics(shell))


def unload(shell: Any) -> None:
    """Take the magics away again, and stop all that they have begun."""
    manager = shell.magics_manager
    magics: NbflowMagics | None = manager.registry.pop(_REGISTERED, None)
    if magics is None:
        return
    for kind, names in (("line", "nbflow"), ("cell", "nbflow_node")):
        manager.magics[kind].pop(names, None)
    magics.close()
