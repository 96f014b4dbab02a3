"""Stages in real kernels: cells run, variables go from one kernel to the next."""

import asyncio
import itertools
from contextlib import contextmanager

from nbflow.core.stages import StageCell, StageSpec
from nbflow.kernels import WarmPool, Wishes, start_kernel
from nbflow.notebooks.stages.stage_kernel import StageKernel


@contextmanager
def stage_pool(folder, preload):
    """A pool whose fork server is there already, with `preload`: several tests may share it."""
    pool = WarmPool(idle_limit=0)
    try:
        asyncio.run(_once(pool, folder, preload))
        yield pool
    finally:
        pool.close()


class StageKernels:
    """Runs stages one after the other, each in a kernel of its own, which `pool` forks."""

    def __init__(self, folder, pool, preload):
        self.folder = folder
        self.pool = pool
        self.preload = preload
        self._numbers = itertools.count(1)
        self.work = folder / "work"
        self.work.mkdir()

    def run(self, *cells, given=None, wanted=(), **more):
        """Run cells, each a source or a pair of a source and fields of `StageCell`.

        They must not raise errors, unless `raises` says that the last one does.
        """
        return asyncio.run(self._run(cells, given or {}, wanted, **more))

    async def _run(
        self, cells, given, wanted, *, sequential=None, first=1, number=None, raises=False, **spec
    ):
        count = next(self._numbers)
        number = number or count
        folder = self.folder / f"stage-{count}"
        folder.mkdir()
        cells = [(it, {}) if isinstance(it, str) else it for it in cells]
        places = [
            StageCell(index=number * 100 + place, number=place + 1, **fields)
            for place, (_, fields) in enumerate(cells)
        ]
        kernel = await _kernel(self.pool, self.work, self.preload)
        try:
            stage = StageKernel(
                kernel,
                folder,
                StageSpec(cells=tuple(places), **spec),
                given=given,
                wanted=wanted,
                sequential=sequential,
                ignored=[str(folder)],
            )
            await stage.begin()
            error = False
            for place, (source, _) in enumerate(cells):
                await stage.before(place, first + place)
                error = not await execute(kernel, source)
                if error:
                    break
            assert error == raises, "a cell has raised an error" if error else "no error"
            return await stage.end(error)
        finally:
            await kernel.shutdown()


async def _kernel(pool, folder, preload):
    wishes = Wishes(pool=pool, preload=preload)
    return await start_kernel("python3", cwd=folder, env={"PYTHONHASHSEED": "0"}, wishes=wishes)


async def _once(pool, folder, preload):
    kernel = await _kernel(pool, folder, preload)
    await kernel.shutdown()


async def execute(kernel, source):
    """Run a cell as Jupyter does; whether it went well."""
    request = kernel.client.execute(source, store_history=True, allow_stdin=False)
    while True:
        message = await kernel.client.get_shell_msg(timeout=60)
        if message["parent_header"].get("msg_id") == request:
            content = message["content"]
            if content["status"] != "ok":
                print("\n".join(content.get("traceback", [])))
            return content["status"] == "ok"
