"""What IPython's magics do, beyond those whose body or line is Python itself."""

from types import MappingProxyType

from nbflow.core.cells.effects.language import Effect, Touch, sets, table, writes_file

_SHELL = Effect(barrier="it runs a shell command")

#: Magics whose line is Python, and whether what it assigns stays.
PYTHON_LINES = MappingProxyType({"time": True, "timeit": False, "prun": False, "memit": False})

LINE_MAGICS = MappingProxyType(
    table(
        (sets("IPython settings"), "matplotlib config autoreload precision xmode colors pprint"),
        (sets("environ"), "env set_env"),
        (sets("working directory"), "cd pushd popd"),
        (_SHELL, "pip conda mamba uv system sx sc ls ll mkdir rm cp mv cat man rmdir"),
        (Effect(touches=(Touch("setting", "working directory", write=False),)), "pwd"),
        (Effect(), "nbflow lsmagic magic quickref pinfo pinfo2 pdoc psource pfile page"),
    )
)
CELL_MAGICS = MappingProxyType(
    table(
        (_SHELL, "bash sh script system sx ! perl ruby javascript_ pypy python python2 python3"),
        (Effect(), "html HTML javascript js latex markdown svg SVG"),
        (writes_file(0), "writefile file"),
    )
)
#: Extensions whose loading changes nothing that cells see.
QUIET_EXTENSIONS = frozenset(
    {"autoreload", "memory_profiler", "line_profiler", "nbflow", "tensorboard"}
)
