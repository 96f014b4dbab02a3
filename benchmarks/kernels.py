"""What one more kernel costs, up to its first reply: warm, against `start_new_kernel`.

The reply is that to a cell, ``1 + 1``, of both.

Counted is the CPU time of everybody who works for it: the process that asks, the kernel, with what
it did while it waited to be asked for, and of the fork server what it does for each kernel. What
only the first kernel of a process needs (imports, the start of a fork server) does not count, and
neither does its end.
"""

import statistics
import subprocess

import click

from benchmarks.measuring import program


def one_more(name: str, many: int) -> tuple[float, float]:
    """Return (CPU seconds, elapsed seconds) of one more kernel, medians."""
    printed = subprocess.run(
        program(name, many), check=True, capture_output=True, text=True
    ).stdout.splitlines()
    # What a kernel prints comes on the same stream.
    kernels = [line.partition("kernel ")[2].split() for line in printed if "kernel " in line]
    servers = [float(line.split()[1]) for line in printed if line.startswith("server ")]
    served_s = statistics.median(servers) if servers else 0.0
    cpu_s = statistics.median(float(cpu) for cpu, _ in kernels)
    return cpu_s + served_s, statistics.median(float(elapsed) for _, elapsed in kernels)


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
