"""Tenants: the journals whose artifacts lie in a store.

A clean-up knows what one journal refers to. Where the store is another journal's as well, it would
take that one's artifacts for waste. So each journal says in the store that it uses it, before
its first run stores anything; and a clean-up refuses where it is not alone.
"""

import hashlib
import socket

from nbflow.ports import ArtifactStore, TendedStore

_PREFIX = "journals"


def settle(store: ArtifactStore, journal: str) -> None:
    """Say that `journal` (where it is, without a password) uses the store, durably."""
    name = _name(journal)
    if not is_settled(store, journal):
        store.put_entry(name, _told(journal).encode())


def is_settled(store: ArtifactStore, journal: str) -> bool:
    """Whether `journal` has said that it uses the store."""
    return store.get_entry(_name(journal)) is not None


def others(store: TendedStore, journal: str) -> list[str]:
    """Return the other journals that have said so, in words for people."""
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
    return f"{_PREFIX}/{hashlib.sha256(_told(journal).encode()).hexdigest()[:32]}"


def _told(journal: str) -> str:
    """Return which journal it is: a path means another one on each host."""
    return journal if "://" in journal else f"{journal} on {socket.gethostname()}"
