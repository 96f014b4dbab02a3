"""What one more kernel costs, up to its first reply: warm, against `start_new_kernel`.

A process that starts many kernels is compared with one that starts few. So what the first one needs
(imports, a fork server) does not count.
"""

import statistics

import click

from benchmarks.measuring import cost, program

_FEW = 2


def one_more(name: str, many: int) -> tuple[float, float]:
    """Return (CPU seconds, elapsed seconds) of one more kernel."""
    less, more = (cost([program(name, count)]) for count in (_FEW, _FEW + many))
    return (more.cpu_s - less.cpu_s) / many, (more.wall_s - less.wall_s) / many


@click.command()
@click.option("--many", default=20, show_default=True, help="Kernels a process.")
@click.option("--rounds", default=3, show_default=True)
def kernels(many: int, rounds: int) -> None:
    """Measure a kernel's start, up to its first reply."""
    both = [(one_more("cold_kernels", many), one_more("warm_kernels", many)) for _ in range(rounds)]
    print("| a kernel's first reply | start_new_kernel | warm | ratio |")
    print("|---|---|---|---|")
    for at, label in enumerate(("CPU, s", "elapsed, s")):
        cold = statistics.median(peer[at] for peer, _ in both)
        warm = statistics.median(ours[at] for _, ours in both)
        ratio = statistics.median(peer[at] / ours[at] for peer, ours in both)
        print(f"| {label} | {cold:.3f} | {warm:.3f} | {ratio:.1f} |")
