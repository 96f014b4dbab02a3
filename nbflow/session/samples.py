"""What the nodes of a run have used in the course of time, kept for who looks when it has ended.

The sums are in the journal. The samples are telemetry: when a driver lets go of a run, it
leaves the last of each node in the file ``samples.json`` of the run's folder. A driver that is
killed leaves none, and a file that is missing or damaged costs a report its small pictures.
"""

import logging
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import msgspec

from nbflow.core.usage import Usage
from nbflow.session.replacing import replace_file

_log = logging.getLogger(__name__)

FILE = "samples.json"

#: Nodes whose samples are kept, and samples of each: about a megabyte at most.
_NODES, _SAMPLES = 200, 40
_decoder = msgspec.json.Decoder(dict[str, tuple[Usage, ...]])


def write_samples(path: Path, usage: Mapping[str, tuple[Usage, ...]]) -> None:
    """Leave samples in the file `path`, beside those of other nodes that it has."""
    if not usage:
        return
    thin = {name: samples[:: -(-len(samples) // _SAMPLES)] for name, samples in usage.items()}
    # The latest first, since the first ones are kept.
    earlier = {name: each for name, each in read_samples(path).items() if name not in thin}
    kept = dict(islice({**thin, **earlier}.items(), _NODES))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(kept))
    except OSError as error:
        _log.warning("what nodes have used is not shown later: %s", error)


def read_samples(path: Path) -> dict[str, tuple[Usage, ...]]:
    """Return what the file has; nothing if there is none."""
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        _log.debug("no samples in %s: %s", path, error)
        return {}
