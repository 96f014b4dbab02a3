"""A flow that can run: what users hold as `nbflow.Flow`."""

import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from nbflow.core.errors import DefinitionError, NbflowError, Problem
from nbflow.core.graph import Graph
from nbflow.core.ids import is_run_id, new_run_id
from nbflow.definition.builder import CacheOption, FlowBuilder
from nbflow.definition.draft import legal_name
from nbflow.definition.preparation import runs_as_stages
from nbflow.definition.staged import CellsAsked
from nbflow.session.importing import without_collection
from nbflow.session.picture import Picture

if TYPE_CHECKING:
    from nbflow.cluster.connecting import Target
    from nbflow.core.attempts import Printed
    from nbflow.definition.preparation import Prepared
    from nbflow.session.launch import Launch
    from nbflow.session.run import Run


#: For so many stages a cluster is sized, if there may be any: for as many as it has cores.
_STAGES = 1_000


class Flow(FlowBuilder):
    """A graph of notebooks and functions. See `FlowBuilder` for how to write one."""

    @classmethod
    def from_notebook(
        cls,
        path: str | os.PathLike[str],
        params: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Return the flow of one notebook, whose cells run side by side where that is worth it.

        Parameters
        ----------
        path
            The notebook's file.
        params
            What is injected. A run may give other values and, as with papermill, any others.
        **options
            As of `notebook`; ``cells`` is True by default.
        """
        file = Path(path).absolute()
        name = options.pop("name", None) or legal_name(file.stem)
        flow = cls(name, params, base_dir=file.parent)
        flow.draft.open_params = True
        referred = {each: flow.param(each) for each in params or {}}
        flow.notebook(file, referred, name=name, **{"cells": True, **options})
        return flow

    def run(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        cluster: "Target | None" = None,
        workers: int | None = None,
        home: str | os.PathLike[str] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        run_id: str | None = None,
        progress: bool | None = None,
        cache: CacheOption = None,
        cells: bool | None = None,
        **given: Any,
    ) -> "Run":
        """Run the flow, show progress, and return when it has ended.

        Parameters
        ----------
        params
            Parameters of this run, for names that are also arguments here.
        cluster
            Where to run: None for an embedded cluster, an `Embedded` of another size, the address
            of a scheduler, the path of a scheduler file, a `distributed.Client`, or a
            Cluster object.
        workers
            Worker processes of the embedded cluster; None sizes it to the machine.
        home
            Folder of the journal and the artifacts; by default ``.nbflow`` beside the flow.
        output_dir
            Folder of the executed notebooks; by default in the home.
        run_id
            The run's id; None makes one.
        progress
            Whether to show progress; None decides by where this runs.
        cache
            Whether results of earlier runs may stand for nodes that have no word of their own
            about it, and for how long they are good; False is for no node at all.
        cells
            Whether notebooks that have no word of their own about it run as stages of cells; False
            is for no notebook at all.
        **given
            Parameters of this run.

        Raises
        ------
        DefinitionError
            If the flow is not fit to run; nothing was run then.
        nbflow.core.errors.RunFailed
            If a node failed. Its ``run`` is the handle.
        nbflow.core.errors.NbflowError
            If the cluster or the home cannot be used.
        """
        wanted = {**(params or {}), **given}
        run = self._started(
            wanted, cluster, workers, home, output_dir, run_id, cache=cache, cells=cells
        )
        return run.join(progress=progress)

    def start(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        cluster: "Target | None" = None,
        workers: int | None = None,
        home: str | os.PathLike[str] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        run_id: str | None = None,
        listen: "Callable[[Printed], None] | None" = None,
        detach: bool = False,
        cache: CacheOption = None,
        cells: bool | None = None,
        **given: Any,
    ) -> "Run":
        """Start the flow and return its handle at once; arguments and errors as of `run`.

        `listen` is called with what cells print while they run. It is telemetry: what comes too
        fast is cut. The call comes from the run's own thread, and must neither block nor raise.

        With `detach`, the run is driven by a process of its own, which goes on when this
        one ends, and this returns once that process holds the run. `listen` cannot be given then,
        and `cluster` cannot be a Client or a Cluster object.
        """
        wanted = {**(params or {}), **given}
        if detach and listen is not None:
            raise NbflowError("listen= hears only a run of this process; give it or detach=True")
        return self._started(
            wanted,
            cluster,
            workers,
            home,
            output_dir,
            run_id,
            listen,
            detach=detach,
            cache=cache,
            cells=cells,
        )

    def graph(
        self, *, cells: bool | None = None, home: str | os.PathLike[str] | None = None
    ) -> Picture:
        """Return the flow's graph; it displays itself.

        Parameters
        ----------
        cells
            True draws notebooks as the stages in which a run with ``cells=True`` would run their
            cells now; by default each notebook is one node.
        home
            The home that knows how long cells take; by default that of the flow.

        Raises
        ------
        DefinitionError
            If `cells` is asked for and the flow is not fit to run.
        """
        if not cells:
            return Picture(Graph(self.spec()))
        # Lazy: a flow that is drawn as it is written needs no database.
        from nbflow.session.cell_history import learning
        from nbflow.session.home import chosen

        folder = chosen(home, Path(self.draft.folder), os.environ)
        wish = CellsAsked(asked=True, learn=learning(folder, self.name))
        return Picture(Graph(self.prepare(cells=wish).spec))

    def _started(
        self,
        wanted: Mapping[str, Any],
        cluster: "Target | None",
        workers: int | None,
        home: str | os.PathLike[str] | None,
        output_dir: str | os.PathLike[str] | None,
        run_id: str | None,
        listen: "Callable[[Printed], None] | None" = None,
        *,
        detach: bool = False,
        cache: CacheOption = None,
        cells: bool | None = None,
    ) -> "Run":
        # Lazy: a flow that is only checked or drawn needs neither Dask nor a database.
        with without_collection():
            from nbflow.session import detaching, launching
            from nbflow.session.cell_history import learning
            from nbflow.session.home import chosen

        kinds = self._kinds(cells)
        folder = chosen(home, Path(self.draft.folder), os.environ)
        slots = launching.slots_of(cluster, workers)
        wish = CellsAsked(cells, learning(folder, self.name), slots=slots)
        request = launching.Request(
            run=self._run_id(run_id),
            target=launching.target_of(cluster, workers, kinds),
            home=folder,
            output_dir=None if output_dir is None else Path(output_dir),
            kinds=kinds,
            listen=listen,
        )

        def prepare(kernels: frozenset[str] | None) -> "Prepared":
            return self.prepare(wanted, kernels=kernels, cache=cache, cells=wish)

        launch: Launch | None = None
        if detach:
            opened, prepared = detaching.start(prepare, request)
        else:
            launch, opened, prepared = launching.launch(prepare, request)
        from nbflow.session.run import AtExit, Run  # lazy, and last: the run goes on meanwhile

        for problem in prepared.warnings:
            warnings.warn(str(problem), stacklevel=3)  # at the caller of `run` or `start`
        if launch is not None:
            AtExit(launch)
        return Run(request.run, opened, launch)

    def _kinds(self, cells: bool | None) -> Counter[str]:
        """Count the nodes of each kind, as far as that is known before the flow is prepared."""
        kinds = Counter(node.kind for node in self.nodes)
        staged = any(runs_as_stages(written, cells) for written in self.draft.written)
        # How many stages there will be is not known while the cluster starts.
        return kinds + Counter(stage=_STAGES) if staged else kinds

    def _run_id(self, wanted: str | None) -> str:
        if wanted is None:
            return new_run_id(self.name, time.time(), random.Random())
        if not is_run_id(wanted):
            problem = Problem(
                self.name,
                f"{wanted!r} cannot be the id of a run",
                "Use letters, digits, dots, dashes and underscores, beginning with no dot or dash",
            )
            raise DefinitionError([problem])
        return wanted
