"""The requests that a kernel serves: begin, keep its variables, restore those of another kernel.

Keeping happens in a fork of the kernel. There it is tried whether everything can be written, and
read again, and is the same then; whatever that sets going (methods of the user's, imports,
finalizers) ends with the fork, and the kernel itself goes on untouched. What must be read before
is: forking draws new random numbers.
"""

import importlib
import json
import os
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from nbflow.guest_namespace.facts import differences, facts_of, held, holdings
from nbflow.guest_namespace.files import (
    UNSEEN,
    files_changed,
    files_touched,
    note_files,
    watch_files,
)
from nbflow.guest_namespace.forking import PROBLEMS, in_a_fork
from nbflow.guest_namespace.marks import (
    is_local,
    mark_of,
    mark_of_value,
    modules_to_compare,
    name_marks,
    source_digests,
    versions,
)
from nbflow.guest_namespace.moving import MOVERS, Settler
from nbflow.guest_namespace.settings import (
    change_environment,
    environment_marks,
    read_settings,
    write_settings,
)
from nbflow.guest_namespace.state import MANIFEST, VARIABLES, KernelState, replay

REPORT = "report.json"


def serve(action: str, folder: str, request: Mapping[str, Any]) -> None:
    """Do what is asked, and write a report into `folder`."""
    home = types.ModuleType(MOVERS)
    vars(home).update(globals())
    sys.modules[MOVERS] = home
    try:
        problems = ACTIONS[action](get_ipython(), Path(folder), request)
        Path(folder, REPORT).write_text(json.dumps({"problems": problems[:PROBLEMS]}))
    finally:
        del sys.modules[MOVERS]


def begin(shell: Any, folder: Path, request: Mapping[str, Any]) -> list[str]:
    """Note what the kernel is before its first cell."""
    watch_files(tuple(request["ignored"]))
    young = {
        "holdings": holdings(shell),
        "modules": sorted(sys.modules),
        "environment": environment_marks(),
        "names": {
            name: name_marks(module)
            for name, module in modules_to_compare(sorted(sys.modules))
            if name not in ("__main__", "__mp_main__") and not is_local(module)
        },
    }
    Path(folder, "young.json").write_text(json.dumps(young))
    return []


def keep(shell: Any, folder: Path, request: Mapping[str, Any]) -> list[str]:
    """Write the variables and all that belongs to them into `folder`; return why that cannot be."""
    if not hasattr(os, "fork"):
        return ["this system cannot make a copy of a process to try it in"]
    young = json.loads(Path(folder, "young.json").read_text())
    files, programs = files_touched()
    problems = held(shell, young["holdings"])
    if programs:
        problems.append(
            f"a cell has started a program ({programs[0]}), whose effects are not known"
        )
    unseen = [name for name in UNSEEN if name in sys.modules and name not in young["modules"]]
    if unseen:
        problems.append(f"{min(unseen)} is loaded, and may have written files unseen")
    if problems:
        return problems
    settings = read_settings(shell)
    state = KernelState(shell, settings, files, request, young)
    return in_a_fork(lambda: state.keep(folder), request["limit_s"])


def restore(shell: Any, folder: Path, _: Mapping[str, Any]) -> list[str]:
    """Make this kernel what the other one was; return why it is not."""
    manifest = json.loads(Path(folder, MANIFEST).read_text())
    changed = files_changed(manifest["files"])
    if changed:
        return [f"a file that the cells before have read or written has changed: {changed[0]}"]
    note_files(manifest["files"])
    now = facts_of(shell)
    for name in ("Python", "hashes of texts (PYTHONHASHSEED)"):
        if manifest["facts"][name] != now[name]:
            return [f"{name} is not what it was"]
    change_environment(manifest["environment"])
    write_settings(shell, manifest["early"])
    # Some modules look, when they are loaded, whether they are in a notebook.
    with warnings.catch_warnings(), shell.builtin_trap:
        warnings.simplefilter("ignore")
        for name in manifest["imports"]:
            if name not in sys.modules:
                importlib.import_module(name)
    other = [name for name, text in manifest["versions"].items() if versions().get(name) != text]
    if other:
        return [f"the package {other[0]} is another version"]
    if source_digests(manifest["sources"]) != manifest["sources"]:
        return ["a module of yours has changed"]
    with Path(folder, VARIABLES).open("rb") as file:
        kept = Settler(file, shell.user_ns).load()
    shell.user_ns.update(kept["variables"])
    write_settings(shell, kept["settings"])
    replay(shell.user_ns, manifest["replayed"])
    problems = _unlike(shell, manifest)
    # Once more, since what came in between may have drawn a number.
    write_settings(shell, {"random": kept["settings"]["random"]})
    return problems


def _unlike(shell: Any, manifest: Mapping[str, Any]) -> list[str]:
    """Return what of the kernel is not as it was in the other one."""
    problems = [
        f"{name}: not as before" for name in differences(manifest["facts"], facts_of(shell))
    ]
    for name, mark in manifest["marks"].items():
        if name not in sys.modules or mark_of(sys.modules[name]) != mark:
            problems.append(f"the module {name} is not as the cells before had left it")
    for module, name, mark in manifest["found"]:
        if mark_of_value(vars(sys.modules[module])[name], module, name) != mark:
            problems.append(f"{module}.{name} is not as the cells before had left it")
    for module, name, touched in manifest["touched"]:
        if name_marks(sys.modules[module]).get(name) != touched:
            problems.append(f"{module}.{name} is not as the cells before had left it")
    problems += [
        f"a cell has put {name} among the modules"
        for name in manifest["others"]
        if name not in sys.modules
    ]
    return problems


ACTIONS: dict[str, Callable[[Any, Path, Mapping[str, Any]], list[str]]] = {
    "begin": begin,
    "keep": keep,
    "restore": restore,
}
