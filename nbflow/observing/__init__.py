"""What others than people see of runs: metrics, traces, and the log of what happens.

All three are made beside a run, by an observer that reads its journal after the driver
(`recording`): the driver knows nothing of them, every fact is seen exactly once, and none is seen
before it is durable.

- `metrics` and `gauges`: totals and the present, for Prometheus; `exporting` serves them
- `traces`: spans for OpenTelemetry, with the ids of `trace_ids`, the same in every process
- `run_log`: a log record for each event

What they need is installed by extras. The modules that import it are themselves imported only where
it is used.
"""
