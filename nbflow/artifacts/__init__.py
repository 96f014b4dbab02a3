"""The artifact store: bytes addressed by their SHA-256, in a folder or at any fsspec URL.

Layout, the same everywhere::

    mark                                  a token that tells this store from all others
    sha256/ab/abcdef…                     an artifact, by the hash of its content
    sha256/ab/abcdef….d/NAME              the same bytes under the name of an emitted file
    receipts/<run>/<node>.<attempt>       how an attempt ended, for the next driver
    entries/NAME                          small things under names of their own, such as a cache's
    tmp/                                  unfinished writes (a local folder only)
    tmp/condemned/                        what a clean-up is about to remove

What `put` returned is durable: in a local folder, the bytes are written to
``tmp/`` and synced, renamed to their final name, and the folder is synced. So under a
final name there is a whole file or none, whatever is killed when; a leftover in
``tmp/`` is rubbish that nothing refers to. At a URL, the service's own promise takes the
place of these steps.

Reading trusts nothing: bytes are handed out after their hash was checked, so a damaged disk
is an error that names the artifact, not a wrong answer.

`digests` and `names` know what things are called, `files` the durable write, `folders` and
`remote` the two kinds of place, `store` puts them together; `naming` is for emitted files,
`spooling` for values of any size; `cache` finds the results of earlier runs again.
"""

from nbflow.artifacts.cache import TieredCache
from nbflow.artifacts.digests import digest_of
from nbflow.artifacts.naming import under_its_name
from nbflow.artifacts.spooling import load_value
from nbflow.artifacts.store import FileStore

__all__ = ["FileStore", "TieredCache", "digest_of", "load_value", "under_its_name"]
