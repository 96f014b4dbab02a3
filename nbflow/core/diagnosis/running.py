"""Nodes that run: evidence of no progress, whatever the clock says, and nodes far over their time.

A running node is innocent. It may sleep, wait for a slow server, or compute without a word, for
hours. What speaks against it without any clock is only what cannot pass by itself: all its threads
wait for each other, it was stopped, it asks for input that nobody can give, its pipe has no other
end, its memory is at an end, its worker is silent. Everything else becomes a finding when
the node is far beyond what was expected of it; what it does then says which.
"""

from collections.abc import Callable

from nbflow.core.diagnosis import waits
from nbflow.core.diagnosis.facts import NodeFacts
from nbflow.core.diagnosis.placement import resources_unsatisfiable
from nbflow.core.diagnosis.words import amount, counted, span
from nbflow.core.findings import Finding, FindingKind

#: How long evidence must have lasted, in seconds, so that what is just passing does not count. What
#: rests on a stack has lasted longer: there is one of a cell that has been silent for two.
_STOPPED_S, _INPUT_S, _DEADLOCK_S = 1.0, 1.0, 1.0
#: The other end of a named pipe may still be on its way.
_FIFO_S = 10.0

#: Share of a node's memory limit from which on it is at its end.
_FULL = 0.9
#: Swapped memory that counts: at least so many bytes, and that share of all.
_SWAPPED_BYTES, _SWAPPED_SHARE = 16_000_000, 0.05
#: Waiting for disks from which on swapping is felt: in percent of the time, or by pages read.
_SWAP_WAIT_PERCENT, _PAGE_INS_PER_S = 10.0, 100.0

#: A worker is silent after this, in seconds, or after so many of its heartbeats.
_SILENT_S, _BEATS = 30.0, 4
#: Workers per second of heartbeat: Dask lets many workers beat less often.
_WORKERS_PER_S = 100

#: A worker that is not listed may have joined since; a node on it runs so long first, in seconds.
_UNLISTED_S = 6.0
#: The same where none is listed at all: a first one shows soon.
_NONE_LISTED_S = 2.0


def kernel_dead(node: NodeFacts) -> Finding | None:
    """The kernel's process has ended, and nobody has noticed yet."""
    if node.doing.state != "zombie":
        return None
    return node.finding(
        FindingKind.KERNEL_DEAD,
        "stuck",
        f"the kernel of {node.name} has died in {node.where}; its attempt is about to end",
        f"see what it printed last: {node.facts.command('logs', node.name)}",
        since_s=node.doing.since_s,
    )


def worker_gone(node: NodeFacts) -> Finding | None:
    """The node's worker is gone, and there is no other that could take it up."""
    if node.facts.workers and node.worker is None and node.elapsed_s >= _UNLISTED_S:
        return resources_unsatisfiable(node)
    if node.facts.workers != () or node.elapsed_s < _NONE_LISTED_S:
        return None
    return node.finding(
        FindingKind.NO_WORKER,
        "stuck",
        f"{node.name} has lost its worker {node.node.worker}, and the cluster has no other",
        "start a worker: dask worker ADDRESS (the scheduler's), or with the cluster's own means",
        f"do not wait: {node.facts.command('cancel')}, then {node.facts.command('resume')}",
        workers=0,
    )


def worker_lost(node: NodeFacts) -> Finding | None:
    """The node's worker has not been heard of for long, or is gone."""
    workers = node.facts.workers
    if workers is None or not node.node.worker:
        return None
    worker = node.worker
    if worker is None:
        if node.elapsed_s < _UNLISTED_S:
            return None
        silent_s, said = None, f"{node.node.worker} is not a worker of the cluster any more"
    else:
        silent_s = worker.silent_s
        if silent_s < max(_SILENT_S, _BEATS * len(workers) / _WORKERS_PER_S):
            return None
        said = f"its worker {worker.name or worker.address} has been silent for {span(silent_s)}"
    return node.finding(
        FindingKind.WORKER_LOST,
        "stuck",
        f"{node.name} may be lost: {said}",
        "if the worker comes back, or Dask gives it up, the run goes on by itself; else end it",
        f"do not wait: {node.facts.command('cancel')}, then {node.facts.command('resume')}",
        since_s=silent_s,
        silent_s=silent_s,
    )


def stopped(node: NodeFacts) -> Finding | None:
    """Somebody has stopped the kernel's process."""
    doing = node.doing
    if doing.state != "stopped" or doing.since_s < _STOPPED_S:
        return None
    return node.finding(
        FindingKind.STOPPED,
        "stuck",
        f"the kernel of {node.name} was stopped by a signal (SIGSTOP, or a debugger), "
        f"{span(doing.since_s)} ago",
        "let it go on, on its worker's machine: kill -CONT PID",
        _start_anew(node),
        since_s=doing.since_s,
    )


def waiting_for_input(node: NodeFacts) -> Finding | None:
    """The cell waits for a person to type something."""
    if node.doing.since_s < _INPUT_S or not waits.waits_for_input(node):
        return None
    return node.finding(
        FindingKind.WAITING_FOR_INPUT,
        "stuck",
        f"{node.where} waits for input, which nobody can give in a run",
        "make the value a parameter: `params`",
        _start_anew(node),
        since_s=node.doing.since_s,
    )


def memory_at_limit(node: NodeFacts) -> Finding | None:
    """The node's processes are about to be ended for what they use."""
    limit, usage = node.spec.policy.memory_bytes, node.usage
    if limit is None or usage is None or usage.memory_bytes < _FULL * limit:
        return None
    return node.finding(
        FindingKind.MEMORY_PRESSURE,
        "stuck",
        f"{node.where} uses {amount(usage.memory_bytes)} of the {amount(limit)} that `memory` "
        "allows; beyond that it is ended",
        f"allow more: `memory` of {node.name}",
        "let it need less: smaller pieces, or columns that are not used dropped early",
        memory_limit_bytes=limit,
        growth_bytes_per_s=round(_growth_bytes_per_s(node)),
    )


def swapping(node: NodeFacts) -> Finding | None:
    """The node waits for memory that was moved to disk."""
    usage = node.usage
    if usage is None or usage.swap_bytes < _SWAPPED_BYTES:
        return None
    total = usage.swap_bytes + usage.memory_bytes
    waits_for_disk = usage.io_wait_percent >= _SWAP_WAIT_PERCENT or usage.doing.state == "disk"
    # Few systems count how long processes wait for disks; all count what they had to wait for.
    waits_for_pages = usage.page_ins_per_s >= _PAGE_INS_PER_S
    if usage.swap_bytes < _SWAPPED_SHARE * total or not (waits_for_disk or waits_for_pages):
        return None
    if waits_for_pages:
        how = f"it waits for {usage.page_ins_per_s:,.0f} pieces of its memory a second"
    else:
        how = f"it waits for that {usage.io_wait_percent:.0f}% of the time"
    return node.finding(
        FindingKind.MEMORY_PRESSURE,
        "stuck",
        f"{node.where} swaps: {amount(usage.swap_bytes)} of its {amount(total)} are on disk; {how}",
        "fewer nodes at once: `max_concurrent`, `limits`, or fewer slots (`--workers`)",
        f"bound it: `memory` of {node.name}",
        swap_bytes=usage.swap_bytes,
        io_wait_percent=usage.io_wait_percent,
        page_ins_per_s=usage.page_ins_per_s,
    )


def worker_out_of_memory(node: NodeFacts) -> Finding | None:
    """The node runs in a worker whose own memory is full."""
    worker = node.worker
    if worker is None or not worker.memory_limit_bytes or not worker.paused:
        return None
    if worker.memory_bytes < _FULL * worker.memory_limit_bytes:
        return None
    return node.finding(
        FindingKind.MEMORY_PRESSURE,
        "stuck",
        f"{node.name} runs on a worker that has paused: it uses {amount(worker.memory_bytes)} of "
        f"{amount(worker.memory_limit_bytes)}",
        "give workers more memory (dask worker --memory-limit), or more of them: `--workers`",
        "make what needs so much a notebook: its kernel is a process of its own, with `memory`",
        worker_memory_bytes=worker.memory_bytes,
        worker_memory_limit_bytes=worker.memory_limit_bytes,
        spilled_bytes=worker.spilled_bytes,
    )


def deadlock(node: NodeFacts) -> Finding | None:
    """All threads of the notebook wait for each other."""
    if node.doing.since_s < _DEADLOCK_S:
        return None
    threads = waits.every_thread_waits(node)
    if not threads:
        return None
    others = len(threads) - 1
    so_do = f", and so {'does' if others == 1 else 'do'} {counted(others, 'other thread')}"
    return node.finding(
        FindingKind.BLOCKED_ON_LOCK,
        "stuck",
        f"{node.where} waits for a lock{so_do if others else ''}: nothing is left to release it",
        "release the lock in a `with` block, or acquire it with a timeout",
        f"bound the wait from outside: `timeout` of {node.name}",
        _start_anew(node),
        since_s=node.doing.since_s,
        deadlock=True,
    )


def fifo_without_partner(node: NodeFacts) -> Finding | None:
    """A named pipe was opened, and its other end is not."""
    if node.doing.since_s < _FIFO_S or not waits.opens_without_partner(node):
        return None
    return node.finding(
        FindingKind.BLOCKED_ON_IO,
        "stuck",
        f"{node.where} opens {node.doing.target}, whose other end nobody has opened",
        "start what reads or writes the other end",
        f"bound the wait: `timeout` of {node.name}",
        _start_anew(node),
        since_s=node.doing.since_s,
    )


def overdue(node: NodeFacts) -> Finding | None:
    """It runs far longer than was expected; what it does says what to call that."""
    expectation = node.expectation
    if expectation is None or expectation.limit_s is None:
        return None
    over_s = node.elapsed_s - expectation.limit_s
    if over_s <= 0:
        return None
    kind, does = _what_it_does(node)
    basis = "declared" if expectation.basis == "declared" else "what earlier runs took"
    # How long it waits may not be longer than its attempt: a sample may be older than both.
    since_s = min(node.elapsed_s, node.doing.since_s or over_s)
    return node.finding(
        kind,
        "stuck",
        f"{node.where} {does}; it has run for {span(node.elapsed_s)}, and "
        f"{span(expectation.expected_s)} were expected ({basis})",
        *_ADVICE[kind](node),
        f"if it may take so long: `expected` of {node.name}",
        _start_anew(node),
        since_s=since_s,
        over_s=round(over_s, 3),
        limit_s=round(expectation.limit_s, 3),
        basis=expectation.basis,
    )


def _what_it_does(node: NodeFacts) -> tuple[FindingKind, str]:
    if node.doing.state == "stopped":
        return FindingKind.STOPPED, "was stopped by a signal"
    if waits.waits_for_input(node):
        return FindingKind.WAITING_FOR_INPUT, "waits for input, which nobody can give in a run"
    wait = waits.wait_of(node)
    if wait.kind is FindingKind.CPU_BOUND_LOOP and not _goes_in_circles(node):
        return FindingKind.SLOWER_THAN_EXPECTED, wait.text
    if wait.kind is FindingKind.BLOCKED_ON_PROCESS:
        return wait.kind, wait.text + _of_the_child(node)
    return wait.kind, wait.text


def _goes_in_circles(node: NodeFacts) -> bool:
    """Whether it computes and nothing else: it reads and writes nothing, and sends nothing.

    That its cell says nothing is known from there being a stack, which only silence brings about.
    On a machine that is busy with others it gets little of a processor, but wants it always.
    """
    latest = node.samples[-_LATEST:]
    moved = sum(
        usage.read_bytes_per_s + usage.written_bytes_per_s + (usage.network_bytes_per_s or 0.0)
        for usage in latest
    )
    wants_to = all(usage.doing.state == "running" for usage in latest)
    busy = wants_to or node.cpu_percent >= waits.BUSY_PERCENT
    return busy and moved < _STILL_BYTES_PER_S * len(latest) and _is_silent(node)


#: What a process that only computes may read and write, in bytes a second: its kernel talks. And
#: the samples that are asked: what was before may have been the start of its kernel.
_STILL_BYTES_PER_S, _LATEST = 100_000.0, 3


def _is_silent(node: NodeFacts) -> bool:
    stack = node.stack
    return stack is not None or (node.progress is None and node.usage is not None)


def _of_the_child(node: NodeFacts) -> str:
    if node.cpu_percent >= waits.BUSY_PERCENT:
        return ", which computes"
    if node.cpu_percent < waits.IDLE_PERCENT:
        return ", which does nothing either"
    return ""


def _growth_bytes_per_s(node: NodeFacts) -> float:
    if len(node.samples) < 2:  # noqa: PLR2004 - growth is between two samples
        return 0.0
    first, last = node.samples[0], node.samples[-1]
    return (last.memory_bytes - first.memory_bytes) / max(0.1, last.at - first.at)


def _start_anew(node: NodeFacts) -> str:
    again = node.facts.command("resume", "--from", node.name)
    return f"stop and start it anew: {node.facts.command('cancel')}, then {again}"


def _bounded(node: NodeFacts) -> str:
    cells = " (cell_soft interrupts one cell)" if node.spec.kind != "function" else ""
    return f"bound it: `timeout` of {node.name}{cells}"


_ADVICE: dict[FindingKind, Callable[[NodeFacts], tuple[str, ...]]] = {
    FindingKind.CPU_BOUND_LOOP: lambda node: (
        "look at the loop in that line: does its condition ever change?",
        _bounded(node),
    ),
    FindingKind.BLOCKED_ON_LOCK: lambda node: (
        f"see who holds it, on the worker's machine: lslocks ({node.doing.target})"
        if node.doing.target
        else "see who holds the lock: `threads` of the evidence",
        _bounded(node),
    ),
    FindingKind.BLOCKED_ON_NETWORK: lambda node: (
        "is the other side up? Give the call a timeout of its own",
        _bounded(node),
        f"try again by itself after that: `retries` of {node.name}",
    ),
    FindingKind.BLOCKED_ON_IO: lambda node: (
        "is the disk, file system or pipe there? Look on the worker's machine",
        _bounded(node),
    ),
    FindingKind.BLOCKED_ON_PROCESS: lambda node: (
        "look at the child process on the worker's machine; give the call a timeout",
        _bounded(node),
    ),
    FindingKind.SLEEPING: lambda node: (
        "wait for the event itself instead of sleeping, or sleep less",
        _bounded(node),
    ),
    FindingKind.SLOWER_THAN_EXPECTED: lambda node: (
        f"see what it prints: {node.facts.command('logs', node.name)}",
        _bounded(node),
    ),
    FindingKind.STOPPED: lambda _: ("let it go on, on its worker's machine: kill -CONT PID",),
    FindingKind.WAITING_FOR_INPUT: lambda _: ("make the value a parameter: `params`",),
}
