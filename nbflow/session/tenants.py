"""Tenants: the journals whose artifacts lie in a store.

A clean-up knows what one journal refers to. Where the store is another journal's as well, it would
take that one's artifacts for waste. So each journal says in the store that it uses it, before
its first run stores anything; and a clean-up refuses where it is not alone.
"""

import hashlib
import os
import socket
from pathlib import Path

from nbflow.ports import ArtifactStore, TendedStore
from nbflow.session.home_file import Places

_PREFIX = "journals"


def tenant(folder: Path, places: Places, journal: str) -> str:
    """Return what the journal of the home in `folder` calls itself in its store, for people, too.

    It means no other one. In the home's own folder it is told as seen from the store, so that the
    folder may be moved, and its machine be renamed; elsewhere, a path means another one on each
    host.

    Parameters
    ----------
    folder
        The home's folder.
    places
        Where the parts of the home are.
    journal
        Where the journal is, without a password.
    """
    match places:
        case Places(journal=Path() as file, artifacts=Path() as store):
            own = (file.resolve(), store.resolve())
            if all(path.is_relative_to(folder.resolve()) for path in own):
                return f"journal {os.path.relpath(*own)}, seen from there"
    return journal if "://" in journal else f"{journal} on {socket.gethostname()}"


def settle(store: ArtifactStore, journal: str) -> None:
    """Say that `journal`, a tenant, uses the store, durably."""
    if not is_settled(store, journal):
        store.put_entry(_name(journal), journal.encode())


def is_settled(store: ArtifactStore, journal: str) -> bool:
    """Whether `journal` has said that it uses the store."""
    return store.get_entry(_name(journal)) is not None


def others(store: TendedStore, journal: str) -> list[str]:
    """Return the other journals that have said so."""
    own = _name(journal)
    told = [store.get_entry(entry.name) for entry in store.entries(_PREFIX) if entry.name != own]
    return sorted(each.decode(errors="replace") for each in told if each is not None)


def forget_others(store: TendedStore, journal: str) -> None:
    """Take `journal` for the only one."""
    own = _name(journal)
    for entry in list(store.entries(_PREFIX)):
        if entry.name != own:
            store.remove_entry(entry.name)


def _name(journal: str) -> str:
    return f"{_PREFIX}/{hashlib.sha256(journal.encode()).hexdigest()[:32]}"
