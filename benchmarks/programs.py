"""What runs in a benchmark's fresh processes: ``python -m benchmarks.programs NAME ARG...``."""

import asyncio
import sys
from pathlib import Path

# Each program imports what it needs itself: what it does not need is not part of its cost.


def papermill(engine: str, out: str, *notebooks: str) -> None:
    """Run notebooks with papermill's API, one after the other."""
    from papermill import execute_notebook

    for each in notebooks:
        execute_notebook(each, f"{out}/{Path(each).name}", engine_name=engine, progress_bar=False)


def nbclient(out: str, *notebooks: str) -> None:
    """Run notebooks with nbclient, one after the other."""
    import nbformat
    from nbclient import NotebookClient

    for each in notebooks:
        notebook = nbformat.read(each, as_version=4)
        NotebookClient(notebook).execute()
        nbformat.write(notebook, f"{out}/{Path(each).name}")


def flow(out: str, *notebooks: str) -> None:
    """Run notebooks as the nodes of a flow."""
    import nbflow

    graph = nbflow.Flow("bench")
    for each in notebooks:
        graph.notebook(each)
    graph.run(home=out, progress=False)


def warm_kernels(count: str) -> None:
    """Start kernels out of a warm pool, one after the other, and let each answer once."""
    from nbflow.kernels import WarmPool, Wishes, start_kernel

    async def answers() -> None:
        pool = WarmPool(idle_limit=1)
        try:
            for _ in range(int(count)):
                kernel = await start_kernel("python3", cwd=Path.cwd(), env={}, wishes=Wishes(pool))
                await kernel.evaluate("1 + 1")
                await kernel.kill()
        finally:
            pool.close()

    asyncio.run(answers())


def cold_kernels(count: str) -> None:
    """Start kernels with jupyter_client, one after the other, and let each answer once."""
    from jupyter_client.manager import start_new_kernel

    for _ in range(int(count)):
        manager, client = start_new_kernel()
        client.execute_interactive("1 + 1")
        client.stop_channels()
        manager.shutdown_kernel(now=True)


PROGRAMS = (papermill, nbclient, flow, warm_kernels, cold_kernels)

if __name__ == "__main__":
    {program.__name__: program for program in PROGRAMS}[sys.argv[1]](*sys.argv[2:])
