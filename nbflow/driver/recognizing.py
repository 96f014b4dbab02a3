"""Recognizing: before a node begins, whether what it would do has been done already.

Three places are asked, in this order: what the node itself had brought before it was reset, the run
from which this one was forked, and the cache. Asking reads files and stores, so it is done in the
writing thread, and only for nodes that have anything to ask for; the others are recognized
at once. The fingerprint that is taken here is the one that the attempt is then recorded with.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from nbflow.core import events as ev
from nbflow.core.caching import uncacheable
from nbflow.core.errors import ArtifactError
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.making import fingerprint_of
from nbflow.core.results import Result, covers
from nbflow.core.resuming import recognized
from nbflow.core.run import Run, must_not_repeat
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Artifact
from nbflow.driver.surroundings import Surroundings
from nbflow.driver.tasks import notebook_path

_log = logging.getLogger(__name__)

#: Executed notebooks that are written at once.
_WRITERS = 8


class Recognition(msgspec.Struct, frozen=True):
    """What was found out about a node whose turn has come."""

    node: str
    fingerprint: Fingerprint
    #: What takes the place of its next attempt; None if it is to begin.
    instead: ev.NodeKept | ev.NodeCached | ev.AttemptInDoubt | None


class Recognizer:
    """Recognizes the nodes of one run.

    Parameters
    ----------
    surroundings
        The ports.
    clock
        Seconds since the epoch.
    """

    def __init__(self, surroundings: Surroundings, clock: Callable[[], float]) -> None:
        self._store = surroundings.store
        self._cache = surroundings.cache
        self._seeds = surroundings.seeds
        self._digest_of_files = surroundings.digest_of_files
        self._clock = clock

    def must_look(self, run: Run, name: str) -> bool:
        """Whether the node can only be recognized by `look`, which blocks."""
        node = run.graph.nodes[name]
        earlier = run[name].earlier
        return bool(
            node.identity.inputs
            or node.policy.cache is not None
            or self._seeds
            or (earlier is not None and earlier.notebook is not None)
        )

    def at_once(self, run: Run, name: str) -> Recognition:
        """Recognize a node without looking anywhere."""
        now = fingerprint_of(run, name)
        return Recognition(name, now, recognized(run, name, now))

    def look(self, run: Run, names: Sequence[str]) -> list[Recognition]:
        """Recognize nodes, wherever that may lead. Blocks.

        Raises
        ------
        nbflow.core.errors.ArtifactError
            If the store cannot be read.
        """
        found = [self._look(run, name) for name in names]
        # Files become durable one by one, and most of that is waiting for the disk.
        with ThreadPoolExecutor(min(_WRITERS, len(found) or 1)) as writers:
            return list(writers.map(lambda each: self._as_laid_out(run, each), found))

    def files_of(self, run: Run) -> dict[str, str]:
        """Return the digests of what nodes are declared to read, by node. Blocks."""
        return {
            name: self._digest_of_files(node.identity.inputs)
            for name, node in run.graph.nodes.items()
            if node.identity.inputs
        }

    def _look(self, run: Run, name: str) -> Recognition:
        inputs = run.graph.nodes[name].identity.inputs
        now = fingerprint_of(run, name, self._digest_of_files(inputs) if inputs else "")
        return Recognition(name, now, recognized(run, name, now) or self._found(run, name, now))

    def _as_laid_out(self, run: Run, found: Recognition) -> Recognition:
        """Put the notebook of what was found in its place; if it is lost, the node runs again."""
        brought: Artifact | None = None
        if isinstance(found.instead, ev.NodeKept):
            earlier = run[found.node].earlier
            brought = earlier.notebook if earlier is not None else None
        elif isinstance(found.instead, ev.NodeCached):
            brought = found.instead.notebook
        if brought is None:
            return found
        try:
            self._lay_out(run, found.node, brought)
        except ArtifactError as error:
            if must_not_repeat(run, found.node):
                # That it has succeeded is known all the same, and there is nothing to decide.
                _log.warning("node %s is kept without its notebook: %s", found.node, error)
                return found
            _log.warning("node %s runs again: %s", found.node, error)
            return msgspec.structs.replace(found, instead=None)
        return found

    def _found(self, run: Run, name: str, now: Fingerprint) -> ev.NodeCached | None:
        """Return what another run has done, if it may stand for this node's result."""
        node = run.graph.nodes[name]
        wanted = run.graph.wanted_outputs(name)
        if run[name].forced or uncacheable(node, run.params):
            return None
        # What is not recorded yet may be dropped by a clean-up, unless it has just been touched.
        result = self._seed(now.key)
        if result is None and self._cache is not None and node.policy.cache is not None:
            result = self._cache.find(now.key, node.policy.cache, now=self._clock())
        if result is None or not covers(result, wanted):
            return None
        return ev.NodeCached(
            name,
            now,
            result.run,
            result.took_s,
            result.outputs,
            result.notebook,
            result.log,
        )

    def _seed(self, key: str) -> Result | None:
        """Return what the forked run has, if the store still holds it; it is touched."""
        result: Result | None = self._seeds.get(key)
        if result is None:
            return None
        held = all(self._store.touch(artifact.digest) for artifact in result.artifacts())
        return result if held else None

    def _lay_out(self, run: Run, name: str, notebook: Artifact) -> None:
        """Put an executed notebook where people look for it.

        Raises
        ------
        ArtifactError
            If its bytes are gone.
        """
        code = run.graph.nodes[name].code
        assert isinstance(code, NotebookCode)
        self._store.materialise(notebook.digest, notebook_path(run.output_dir, name, code))
