"""What a worker finds out about its attempts while they run, without their help.

`Prober` is a thread that looks at the process tree of each kernel once a second (`subjects`): what
it uses (`processes`, `sockets`, `gpus`), and what the thread that runs the cell does (`doing`). A
sample goes to the driver as telemetry; the sum of all (`tallying`) is in the attempt's outcome.
When a cell has been silent for some time (`silence`), its stack is taken (`stacks`).
"""
