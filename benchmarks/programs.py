"""What runs in a benchmark's fresh processes: ``python -m benchmarks.programs NAME ARG...``."""

import asyncio
import sys
import time
from pathlib import Path

# Each program imports what it needs itself: what it does not need is not part of its cost.


def papermill(engine: str, out: str, *notebooks: str) -> None:
    """Run notebooks with papermill's API, one after the other."""
    from papermill import execute_notebook

    for each in notebooks:
        execute_notebook(each, f"{out}/{Path(each).name}", engine_name=engine, progress_bar=False)


def papermill_calls(engine: str, out: str, notebook: str) -> None:
    """Run a notebook twice with papermill's API, and print the seconds that each call took."""
    from papermill import execute_notebook

    for _ in range(2):
        began = time.perf_counter()
        execute_notebook(notebook, f"{out}/x.ipynb", engine_name=engine, progress_bar=False)
        print(f"call {time.perf_counter() - began}")


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


def cached_flow(home: str, hits: str, *notebooks: str) -> None:
    """Run notebooks as the nodes of a flow with a cache; so many of them are in it."""
    import nbflow

    graph = nbflow.Flow("bench", defaults={"cache": True})
    for each in notebooks:
        graph.notebook(each, name=f"n{Path(each).parent.name}")
    run = graph.run(home=home, progress=False)
    if run.cache_statistics.hits != int(hits):
        raise RuntimeError(f"{run.cache_statistics}, and not {hits} hits")


def warm_kernels(count: str) -> None:
    """Start kernels out of a warm pool; print what each cost up to its first reply.

    The fork server's own work, which is done for every kernel, counts as well.
    """
    import psutil

    from nbflow.kernels import WarmPool, Wishes, start_kernel

    async def answers() -> None:
        pool = WarmPool(idle_limit=1)
        try:
            server: int | None = None
            for _ in range(int(count) + 1):
                served_s = 0.0 if server is None else cpu_s(server)
                began = time.perf_counter(), time.process_time()
                kernel = await start_kernel("python3", cwd=Path.cwd(), env={}, wishes=Wishes(pool))
                assert kernel.client is not None
                await kernel.client.execute("1 + 1", reply=True)
                assert kernel.pid is not None
                tell(began, cpu_s(kernel.pid), first=server is None)
                if server is None:
                    server = psutil.Process(kernel.pid).ppid()
                else:
                    print(f"server {cpu_s(server) - served_s}")
                await kernel.shutdown()
        finally:
            pool.close()

    asyncio.run(answers())


def cold_kernels(count: str) -> None:
    """Start kernels with jupyter_client; print what each cost up to its first reply."""
    from jupyter_client.manager import start_new_kernel

    for number in range(int(count) + 1):
        began = time.perf_counter(), time.process_time()
        manager, client = start_new_kernel()
        client.execute("1 + 1", reply=True)
        assert manager.provisioner is not None
        tell(began, cpu_s(manager.provisioner.pid), first=number == 0)
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def tell(began: tuple[float, float], kernel_s: float, *, first: bool) -> None:
    """Print the seconds since `began`, elapsed and of CPU; of the first kernel, nothing."""
    elapsed_s = time.perf_counter() - began[0]
    own_s = time.process_time() - began[1]
    if not first:
        print(f"kernel {own_s + kernel_s} {elapsed_s}")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process that runs, all threads together; to the microsecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


PROGRAMS = (papermill, papermill_calls, nbclient, flow, cached_flow, warm_kernels, cold_kernels)

if __name__ == "__main__":
    {program.__name__: program for program in PROGRAMS}[sys.argv[1]](*sys.argv[2:])
