"""``python -m corpus DIR``: every notebook below a folder, both ways, and what came of it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from distributed import LocalCluster

from corpus.finding import installed_notebooks, make_ready, notebooks_below
from corpus.summary import figures, lines
from corpus.trying import Found, Wanted, tried
from nbflow.kernels.specs import kernel_names

#: Kernels that one notebook may have at once.
_AT_ONCE = 4


@click.command()
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False
)
@click.option("--jobs", default=1, show_default=True, help="Notebooks at once.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for each run of one.")
@click.option("--seeds", default=2, show_default=True, help="Runs by cells, each cut otherwise.")
@click.option("--failing", is_flag=True, help="Compare also those that fail in order.")
@click.option("--allow-errors", is_flag=True, help="Let every cell fail, and the rest go on.")
@click.option("--oracle/--no-oracle", default=True, help="Find the bound of what is possible.")
@click.option(
    "--json", "document", type=click.Path(path_type=Path), help="Write all of it to a file."
)
@click.option("--only", default="", help="Only notebooks with this text in their path.")
def main(
    folder: Path | None,
    *,
    jobs: int,
    timeout: float,
    seeds: int,
    failing: bool,
    allow_errors: bool,
    oracle: bool,
    document: Path | None,
    only: str,
) -> None:
    """Run notebooks in order and by cells, and compare; without FOLDER those of packages."""
    wanted = Wanted(seeds, timeout, failing, oracle)
    with _chosen(folder, allow_errors=allow_errors) as chosen:
        notebooks = [(name, path) for name, path in chosen if only in name]
        found = corpus(notebooks, wanted, jobs)
    for line in lines(found):
        print(line)
    if document is not None:
        whole = {"figures": figures(found), "notebooks": found}
        document.write_bytes(msgspec.json.format(msgspec.json.encode(whole)))
    sys.exit(any(each.verdict == "different" for each in found))


def corpus(notebooks: Sequence[tuple[str, Path]], wanted: Wanted, jobs: int) -> list[Found]:
    """Try notebooks, some at once, and tell of each as soon as it is known.

    One cluster serves all of them: its start would take longer than most runs.
    """

    def one(notebook: tuple[str, Path]) -> Found:
        found = tried(*notebook, wanted, cluster)
        remark = f": {found.why}" if found.why else ""
        print(
            f"{found.notebook}: {found.verdict}, {found.took_s:.0f} s{remark}",
            file=sys.stderr,
            flush=True,
        )
        return found

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=_AT_ONCE * jobs,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        ThreadPoolExecutor(jobs) as executor,
    ):
        return list(executor.map(one, notebooks))


@contextmanager
def _chosen(folder: Path | None, *, allow_errors: bool) -> Iterator[list[tuple[str, Path]]]:
    """Give the notebooks by name, those of a folder in a copy of it: nothing there is changed."""
    if folder is None:
        yield [(f"{package}/{path.name}", path) for package, path in installed_notebooks()]
        return
    with tempfile.TemporaryDirectory(prefix="corpus-") as scratch:
        # As deep as the original: paths upwards stay inside the copy.
        copy = Path(scratch, folder.resolve().name)
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        found = notebooks_below(copy)
        kernels = kernel_names()
        for path in found:
            make_ready(path, kernels, allow_errors=allow_errors)
        yield [(str(path.relative_to(copy)), path) for path in found]


if __name__ == "__main__":
    main()
