"""The tables of a report: each node with how it stands, and with what it used."""

from collections.abc import Sequence

from nbflow.core.findings import Diagnosis
from nbflow.core.run import NodeRun
from nbflow.core.usage import Usage, UsageSum
from nbflow.core.view import RunView
from nbflow.drawing.lines import node_line
from nbflow.drawing.look import NODE_LOOKS
from nbflow.drawing.report_markup import cell, glyph, line, table
from nbflow.drawing.values import value_text
from nbflow.drawing.words import duration, size

#: Most rows of a table.
_MAX_ROWS = 5_000
#: Most outputs of a node that are named.
_OUTPUTS = 8
_SPARK_WIDTH, _SPARK_HEIGHT = 120.0, 18.0

_NODE_HEADERS = (
    *("node", "state", "kind", "attempts", "queued", "took", "expected"),
    *("worker", "about", "outputs"),
)
_USE_HEADERS = (
    *("node", "CPU time", "CPU mean", "CPU peak", "memory peak", "memory mean", "read", "written"),
    *("IO wait", "network", "GPU mean", "processes", "CPU over time", "memory over time"),
)


def nodes_table(view: RunView, diagnosis: Diagnosis, now: float) -> str:
    """Return a row for each node, in the order of the flow."""
    expected = {each.node: each.expected_s for each in diagnosis.activities}
    expected |= {each.node: each.expected_s for each in diagnosis.findings if each.expected_s}
    names = list(view.run.graph.nodes)
    rows = [_node_row(view, name, expected.get(name), now) for name in names[:_MAX_ROWS]]
    return table(_NODE_HEADERS, rows) + _rest(names)


def resources_table(view: RunView) -> str:
    """Return what each node used, of those of which anything is known."""
    nodes = view.run.nodes
    names = [name for name in view.run.graph.nodes if nodes[name].usage or view.usage.get(name)]
    if not names:
        return '<p class="soft">Nobody could look at what the nodes used.</p>'
    rows = [
        _use_row(
            name, nodes[name].usage or _so_far(view.usage.get(name, ())), view.usage.get(name, ())
        )
        for name in names[:_MAX_ROWS]
    ]
    note = '<p class="soft">Of each node\'s latest attempt. 100 % is one core.</p>'
    return note + table(_USE_HEADERS, rows) + _rest(names)


def sparkline(values: Sequence[float], about: str) -> str:
    """Return a line as high as the largest value; nothing without two of them."""
    if len(values) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    top = max(values) or 1.0
    step = _SPARK_WIDTH / (len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{_SPARK_HEIGHT - 1 - (_SPARK_HEIGHT - 2) * value / top:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<svg class="spark" width="{_SPARK_WIDTH:.0f}" height="{_SPARK_HEIGHT:.0f}" '
        f'viewBox="0 0 {_SPARK_WIDTH:.0f} {_SPARK_HEIGHT:.0f}" role="img">'
        f'<title>{about}</title><polyline points="{points}"/></svg>'
    )


def _node_row(view: RunView, name: str, expected_s: float | None, now: float) -> list[str]:
    node, spec = view.run[name], view.run.graph.nodes[name]
    about = node_line(view, name, now, 600)
    outputs = [
        f"{line(output, 80)} = {line(value_text(value), 80)}"
        for output, value in list(node.outputs.items())[:_OUTPUTS]
    ]
    if len(node.outputs) > _OUTPUTS:
        outputs.append(f"… and {len(node.outputs) - _OUTPUTS:,} more")
    return [
        cell(line(name), kind="name"),
        cell(glyph(NODE_LOOKS[node.state])),
        cell(spec.kind, kind="short"),
        cell(f"{node.attempt}", key=node.attempt, kind="num"),
        _seconds(_queued_s(node)),
        _seconds(about.elapsed_s),
        _seconds(expected_s),
        cell(line(node.worker.rsplit("://", 1)[-1], 40), kind="soft short"),
        cell(line(about.note, 600), kind="about"),
        cell("<br>".join(outputs), kind="about"),
    ]


def _so_far(samples: Sequence[Usage]) -> UsageSum:
    """Return what samples tell of an attempt that has not ended; totals are not known yet."""
    if not samples:
        return UsageSum()
    cpu = [sample.cpu_percent for sample in samples]
    memory = [sample.memory_bytes for sample in samples]
    return UsageSum(
        cpu_percent_mean=sum(cpu) / len(cpu),
        cpu_percent_peak=max(cpu),
        memory_bytes_mean=sum(memory) // len(memory),
        memory_bytes_peak=max(memory),
        processes_peak=max(sample.processes for sample in samples),
    )


def _use_row(name: str, used: UsageSum, samples: Sequence[Usage]) -> list[str]:
    return [
        cell(line(name), kind="name"),
        _seconds(used.cpu_s if used.samples else None),
        _percent(used.cpu_percent_mean or None),
        _percent(used.cpu_percent_peak or None),
        _bytes(used.memory_bytes_peak or None),
        _bytes(used.memory_bytes_mean or None),
        _bytes(used.read_bytes if used.samples else None),
        _bytes(used.written_bytes if used.samples else None),
        _seconds(used.io_wait_s if used.samples else None),
        _bytes(used.network_bytes),
        _percent(used.gpu_percent_mean),
        cell(f"{used.processes_peak or ''}", key=used.processes_peak, kind="num"),
        cell(_spark(samples, "CPU")),
        cell(_spark(samples, "memory")),
    ]


def _spark(samples: Sequence[Usage], what: str) -> str:
    if what == "CPU":
        values = [sample.cpu_percent for sample in samples]
        return sparkline(values, f"CPU, at most {max(values, default=0):.0f} %")
    values = [float(sample.memory_bytes) for sample in samples]
    return sparkline(values, f"memory, at most {size(max(values, default=0))}")


def _queued_s(node: NodeRun) -> float | None:
    if node.scheduled_at is None or node.started_at is None:
        return None
    return max(0.0, node.started_at - node.scheduled_at)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return cell("", kind="num")
    return cell(duration(seconds), key=seconds, kind="num")


def _bytes(count: float | None) -> str:
    return cell("", kind="num") if count is None else cell(size(count), key=count, kind="num")


def _percent(percent: float | None) -> str:
    if percent is None:
        return cell("", kind="num")
    return cell(f"{percent:.0f} %", key=percent, kind="num")


def _rest(names: Sequence[str]) -> str:
    more = len(names) - _MAX_ROWS
    return f'<p class="soft">… and {more:,} more</p>' if more > 0 else ""
