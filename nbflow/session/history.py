"""What nodes took in earlier runs of their flow: the ground on which expectations stand.

The journal knows it all, but a run of thousands of nodes has tens of thousands of records, too many
to read whenever somebody asks why a node is slow. So what is learned from a run is kept, in a small
file for each flow in the folder ``history`` of the home. A run that has ended does not change
unless it is resumed, which shows in its number of records: what is kept is good as long as that is
the same. Runs that are gone from the journal are dropped; those that came, new or imported, are
read once. So nobody has to keep the file in step with anything; it may be removed at any time.

Runs that somebody drives are left out: they would be read again and again.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from nbflow.core import events as ev
from nbflow.core.errors import JournalError
from nbflow.core.expecting import Sample, sizes_of
from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.core.values import FromOutput, NotText, Value, resolve
from nbflow.ports import Journal, RunRow
from nbflow.session.replacing import replace_file

_log = logging.getLogger(__name__)

#: Folder in the home.
FOLDER = "history"
#: The newest runs of a flow that count, and the newest samples of a node.
RUNS, SAMPLES = 30, 60
#: Records after which no further run is read at once: the rest is for the next time.
RECORDS = 30_000


class Learned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run has taught. `last_seq` is how many records it had then."""

    last_seq: int
    samples: dict[str, tuple[Sample, ...]] = {}


class History:
    """What the runs of one home have taught about one flow.

    Parameters
    ----------
    folder
        The home's folder.
    journal
        Its journal.
    flow
        The flow's name.
    """

    def __init__(self, folder: Path, journal: Journal, flow: str) -> None:
        self._journal = journal
        self._flow = flow
        name = hashlib.sha256(flow.encode()).hexdigest()[:16]
        self._path = folder / FOLDER / f"{name}.json"

    def samples(self, *, without: str, now: float) -> dict[str, tuple[Sample, ...]]:
        """Return the samples of each node, the newest last.

        Parameters
        ----------
        without
            The run that is asked about: it is no ground for what is expected of it.
        now
            Seconds since the epoch.
        """
        # No more is read if somebody runs a thousand of them: the newest tell most.
        # Of a run whose row is damaged nothing is learned; `verify` tells of it.
        rows = [
            row
            for row, problem in self._journal.listed()
            if not problem and row.flow == self._flow and row.id != without
        ]
        kept = self._read()
        known: dict[str, Learned] = {}
        records = 0
        for row in [row for row in rows if not row.is_held(now)][: -RUNS - 1 : -1]:
            learned = kept.get(row.id)
            if learned is None or learned.last_seq != row.last_seq:
                if records >= RECORDS:
                    continue
                records += row.last_seq
                learned = self._learned(row)
            if learned is not None:
                known[row.id] = learned
        known = dict(reversed(known.items()))
        if known != {run: learned for run, learned in kept.items() if run != without}:
            self._write({**{run: it for run, it in kept.items() if run == without}, **known})
        return _by_node(known.values())

    def _learned(self, row: RunRow) -> Learned | None:
        try:
            samples = samples_of(record.event for record in self._journal.read(row.id))
        except JournalError as error:
            # It may have been removed this moment, or be damaged, which `verify` tells.
            _log.debug("nothing is learned from run %s: %s", row.id, error)
            return None
        return Learned(row.last_seq, samples)

    def _read(self) -> dict[str, Learned]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Learned])
        except (OSError, msgspec.MsgspecError) as error:
            _log.debug("no history in %s: %s", self._path, error)
            return {}

    def _write(self, learned: Mapping[str, Learned]) -> None:
        try:
            self._path.parent.mkdir(exist_ok=True)
            # The last of several writers wins: each has read the same journal.
            replace_file(self._path, msgspec.json.encode(learned))
        except OSError as error:
            _log.debug("the history is not kept in %s: %s", self._path, error)


def samples_of(events: Iterable[ev.Event]) -> dict[str, tuple[Sample, ...]]:
    """Return what the events of one run teach: each success of an attempt, by its node."""
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    nodes: dict[str, NodeSpec] = {}
    params: dict[str, Value] = {}
    codes: dict[str, str] = {}
    outputs: dict[str, dict[str, Value]] = {}
    for event in events:
        match event:
            case ev.RunCreated() | ev.FlowChanged():
                nodes, params = _nodes(event.flow), event.params
            case ev.AttemptScheduled(node=node, fingerprint=made_of):
                codes[node] = "" if made_of is None else made_of.code
            case ev.AttemptSucceeded(node=node):
                if not event.resolved_by and node in nodes:
                    sizes = sizes_of(_received(nodes[node], params, outputs))
                    seconds = max(0.0, event.ended_at - event.started_at)
                    found[node].append(Sample(round(seconds, 3), codes.get(node, ""), sizes))
                outputs[node] = event.outputs
            case ev.NodeCached(node=node):
                outputs[node] = event.outputs
            case _:
                pass
    return {node: tuple(samples[-SAMPLES:]) for node, samples in found.items()}


def _nodes(flow: FlowSpec) -> dict[str, NodeSpec]:
    return {node.name: node for node in flow.nodes}


def _received(
    node: NodeSpec, params: Mapping[str, Value], outputs: Mapping[str, Mapping[str, Value]]
) -> dict[str, Value]:
    """Return the parameters of an attempt, but for those that cannot be told any more."""

    def output(reference: FromOutput) -> Value:
        return outputs[reference.node][reference.output]

    def told() -> Iterator[tuple[str, Value]]:
        for name, binding in node.params.items():
            try:
                yield name, resolve(binding, params, output)
            except (KeyError, NotText):
                continue

    return dict(told())


def _by_node(learned: Iterable[Learned]) -> dict[str, tuple[Sample, ...]]:
    together: defaultdict[str, list[Sample]] = defaultdict(list)
    for each in learned:
        for node, samples in each.samples.items():
            together[node].extend(samples)
    return {node: tuple(samples[-SAMPLES:]) for node, samples in together.items()}
