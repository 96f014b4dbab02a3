"""The shape of a flow file, as pydantic models, and the JSON Schema that is published of it.

The models say which keys there are and of which kind their values are. What a value means (is
``2GB`` a size? is there such a node?) is judged by the same code as for flows written in Python.
Each field's description completes the sentence "… must be", in messages and in the schema.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import ConfigDict, Discriminator, Field, Tag

from nbflow.definition.faults import Fault, described, did_you_mean, sentences


def _mapping_or_scalar(value: object) -> str:
    """Say which branch of a union is meant, so that its errors speak of that branch alone."""
    return "mapping" if isinstance(value, dict) else "scalar"


def _list_or_scalar(value: object) -> str:
    return "list" if isinstance(value, list) else "scalar"


class _Model(pydantic.BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Size: TypeAlias = int | str
Duration: TypeAlias = Annotated[float, Field(gt=0)] | str


class RetryModel(_Model):
    """Retries in full."""

    times: int = Field(
        default=0, ge=0, description="a whole number of tries beyond the first, 0 or more"
    )
    backoff: float = Field(
        default=1.0, ge=0, description="the seconds before the first retry, 0 or more"
    )
    factor: float = Field(
        default=2.0, ge=1, description="the number by which each further delay grows, 1 or more"
    )
    max_backoff: float = Field(
        default=300.0, ge=0, description="the longest delay in seconds, 0 or more"
    )
    jitter: float = Field(
        default=0.25, ge=0, le=1, description="the share of a delay that is random, from 0 to 1"
    )


class TimeoutModel(_Model):
    """Timeouts in full."""

    soft: float | None = Field(
        default=None, gt=0, description="the seconds until a cell is interrupted, above 0"
    )
    hard: float | None = Field(
        default=None, gt=0, description="the seconds until the kernel is killed, above 0"
    )
    cell_soft: float | None = Field(
        default=None, gt=0, description="the seconds until each single cell is interrupted, above 0"
    )
    cell_hard: float | None = Field(
        default=None,
        gt=0,
        description="the seconds of a single cell until the kernel is killed, above 0",
    )


class OutputLimitModel(_Model):
    """Limits of output in full."""

    cell: Size | Literal[False] | None = Field(
        default=None,
        description='a size such as "10MB" of what each cell may print and show, or false for no '
        "limit",
    )
    notebook: Size | Literal[False] | None = Field(
        default=None,
        description='a size such as "100MB" of what all cells may print and show, or false for no '
        "limit",
    )
    then: Literal["truncate", "fail"] | None = Field(
        default=None, description="truncate (drop what is beyond the limit) or fail"
    )


class CacheModel(_Model):
    """Caching in full."""

    ttl: Duration | None = Field(
        default=None,
        description='the seconds for which a result is good, or a duration such as "1h" or "7d"',
    )
    jitter: float = Field(
        default=0.1, ge=0, le=1, description="the share of ttl that is random, from 0 to 1"
    )


class ExpectedModel(_Model):
    """Expectations in full."""

    seconds: Duration = Field(
        description='the seconds that an attempt is expected to take, or a duration such as "10m"'
    )
    factor: float = Field(
        default=2.0,
        ge=1,
        description="the number of times that, beyond which it counts as stuck, 1 or more",
    )


Retries = Annotated[
    Annotated[Annotated[int, Field(ge=0)], Tag("scalar")] | Annotated[RetryModel, Tag("mapping")],
    Discriminator(_mapping_or_scalar),
]
TimeLimit = Annotated[
    Annotated[Annotated[float, Field(gt=0)], Tag("scalar")]
    | Annotated[TimeoutModel, Tag("mapping")],
    Discriminator(_mapping_or_scalar),
]
OutputLimit = Annotated[
    Annotated[Size | Literal[False], Tag("scalar")] | Annotated[OutputLimitModel, Tag("mapping")],
    Discriminator(_mapping_or_scalar),
]
Caching = Annotated[
    Annotated[bool | Duration, Tag("scalar")] | Annotated[CacheModel, Tag("mapping")],
    Discriminator(_mapping_or_scalar),
]
Expecting = Annotated[
    Annotated[Duration | Literal[False], Tag("scalar")] | Annotated[ExpectedModel, Tag("mapping")],
    Discriminator(_mapping_or_scalar),
]
Names = Annotated[
    Annotated[str, Tag("scalar")] | Annotated[list[str], Tag("list")],
    Discriminator(_list_or_scalar),
]


class PolicyModel(_Model):
    """Policies of nodes."""

    retries: Retries | None = Field(
        default=None,
        description="a whole number, 0 or more, or a mapping with times, backoff, factor, "
        "max_backoff, jitter",
    )
    timeout: TimeLimit | None = Field(
        default=None,
        description="a number of seconds above 0 or a mapping with soft, hard, cell_soft, "
        "cell_hard",
    )
    memory: Size | None = Field(
        default=None, description='a size such as "2GB" or "512MiB", or a whole number of bytes'
    )
    output_limit: OutputLimit | None = Field(
        default=None,
        description='a size such as "10MB" for each cell, or false for no limit, or a mapping with '
        "cell, notebook, then",
    )
    cpus: int | None = Field(default=None, ge=1, description="a whole number of cores, 1 or more")
    nice: int | None = Field(
        default=None, ge=0, le=19, description="a whole number from 0 to 19 (higher yields more)"
    )
    start_timeout: float | None = Field(
        default=None, gt=0, description="the seconds until a kernel must have answered, above 0"
    )
    priority: int | None = Field(default=None, description="a whole number (higher starts earlier)")
    resources: dict[str, float] | None = Field(
        default=None, description="a mapping of Dask resource names to numbers above 0"
    )
    continue_on_failure: bool | None = Field(default=None, description="true or false")
    effect: Literal["idempotent", "at_most_once"] | None = Field(
        default=None, description="idempotent or at_most_once"
    )
    cache: Caching | None = Field(
        default=None,
        description="true or false, or the seconds for which a result is good, or a duration such "
        'as "1h" or "7d", or a mapping with ttl, jitter',
    )
    checkpoint: Duration | Literal[False] | None = Field(
        default=None,
        description='a number of seconds above 0, or a duration such as "30s" or "5m", or false',
    )
    cells: bool | None = Field(default=None, description="true or false")
    expected: Expecting | None = Field(
        default=None,
        description='the seconds that an attempt is expected to take, or a duration such as "10m", '
        "or false, or a mapping with seconds, factor",
    )
    inputs: Names | None = Field(
        default=None,
        description="a list of files and folders that the node reads, in which * ? [ ] and ** are "
        "patterns, relative to this file",
    )
    packages: Names | None = Field(
        default=None,
        description="a list of installed packages whose versions belong to what the node is",
    )


class NodeModel(PolicyModel):
    """One node: a notebook or a function, its parameters and policies."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["notebook"]}, {"required": ["function"]}]}
    )

    notebook: str | None = Field(
        default=None, min_length=1, description="the path of a notebook, relative to this file"
    )
    function: str | None = Field(
        default=None,
        pattern=r"^.+:.+$",
        description='the place of a function: "module:function" or "path.py:function"',
    )
    params: dict[str, Any] = Field(
        default={},
        description="a mapping of the node's parameters to values, in which ${node.output} and "
        "${params.name} are references",
    )
    after: Names = Field(default=[], description="a list of nodes that must end first")
    outputs: Names = Field(
        default=[], description="a list of outputs to keep even if no node asks for them"
    )
    kernel: str | None = Field(
        default=None,
        min_length=1,
        description="the name of the kernel to use instead of the notebook's",
    )
    python: str | None = Field(
        default=None,
        min_length=1,
        description="the path of an interpreter, or of an environment's folder, whose ipykernel "
        "runs the notebook, relative to this file",
    )
    env: dict[str, str | int | float] | None = Field(
        default=None,
        description="a mapping of environment variables to texts or numbers (true, no and the like "
        "in quotes)",
    )
    cwd: str | None = Field(
        default=None,
        min_length=1,
        description="the kernel's working directory, relative to this file",
    )


class LimitsModel(_Model):
    """How many nodes may be queued or running at once."""

    flow: int | None = Field(
        default=None, ge=1, description="a whole number, 1 or more, for all nodes"
    )
    groups: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="a mapping of groups to whole numbers, 1 or more"
    )


class FlowModel(_Model):
    """A flow of notebooks and functions."""

    model_config = ConfigDict(title="nbflow flow file")

    flow: str = Field(min_length=1, description="the flow's name")
    params: dict[str, Any] = Field(
        default={}, description="a mapping of the flow's parameters to their default values"
    )
    defaults: PolicyModel = Field(
        default_factory=PolicyModel,
        description="a mapping of policies, for nodes that do not name their own",
    )
    limits: LimitsModel = Field(
        default_factory=LimitsModel,
        description="a mapping with flow (a number) and groups (a mapping)",
    )
    preload: Names = Field(
        default=[],
        description="a list of modules that warm kernels have loaded, besides those that nbflow "
        "finds",
    )
    nodes: dict[str, NodeModel] = Field(
        min_length=1, description="a mapping of node names to nodes, with at least one"
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of flow files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **FlowModel.model_json_schema(),
    }


class DocumentFault(Fault):
    """A fault of a flow file's shape, at `path` in the document."""

    def __init__(self, path: tuple[str | int, ...], what: str, fix: str = "") -> None:
        super().__init__(what, fix)
        self.path = path


def read_document(value: Any) -> FlowModel | list[DocumentFault]:
    """Return the document that `value` is, or everything that is wrong with its shape."""
    if not isinstance(value, dict):
        what = f"a flow file must be a mapping with flow and nodes, not {described(value)}"
        return [DocumentFault((), what, "Write 'flow: NAME' and 'nodes:'")]
    try:
        return FlowModel.model_validate(value)
    except pydantic.ValidationError as error:
        faults = (_fault(details, value) for details in error.errors(include_url=False))
        # Branches of a union may complain of the same thing.
        return list({(fault.path, fault.what): fault for fault in faults}.values())


def _fault(details: Any, document: Any) -> DocumentFault:
    is_missing = details["type"] == "missing"
    path = tuple(_real_path(details["loc"], document, is_missing=is_missing))
    model, inside = _model_at(path[:-1])
    last = path[-1] if path else ""
    if is_missing:
        description = model.model_fields[str(last)].description
        return DocumentFault(path, f"the key {last!r} is missing", f"It is {description}")
    if details["type"] == "extra_forbidden":
        known = list(model.model_fields)
        fix = sentences(did_you_mean(str(last), known), f"Known: {', '.join(known)}")
        return DocumentFault(path, f"{last!r} is not a key of {inside}", fix)
    value = _at(path, document)
    if details["loc"][-1] == "[key]":
        what = f"the name {described(details['input'])} in {inside} must be text"
        return DocumentFault(path, what, "Write it in quotes")
    return DocumentFault(path, _misfit(path, described(value)))


def _real_path(
    location: Sequence[str | int], document: Any, *, is_missing: bool
) -> Iterator[str | int]:
    """Yield the steps of pydantic's location that are in the document, and the missing key.

    The others are pydantic's own: tags of unions, and ``[key]``.
    """
    value = document
    for depth, step in enumerate(location):
        is_entry = isinstance(value, dict) and step in value
        if is_entry or (isinstance(value, list) and isinstance(step, int)):
            yield step
            value = value[step]
        elif is_missing and depth == len(location) - 1:
            yield step


def _at(path: Sequence[str | int], document: Any) -> Any:
    value = document
    for step in path:
        value = value[step]
    return value


#: The models of mappings by the key under which they stand, and how messages call them.
_INNER: dict[str, tuple[type[pydantic.BaseModel], str]] = {
    "defaults": (PolicyModel, "defaults"),
    "limits": (LimitsModel, "limits"),
    "retries": (RetryModel, "retries"),
    "timeout": (TimeoutModel, "timeout"),
    "output_limit": (OutputLimitModel, "output_limit"),
    "cache": (CacheModel, "cache"),
    "expected": (ExpectedModel, "expected"),
}


def _model_at(path: Sequence[str | int]) -> tuple[type[pydantic.BaseModel], str]:
    """Return the model of the mapping at `path`, and what it is called."""
    model: tuple[type[pydantic.BaseModel], str] = (FlowModel, "a flow file")
    for depth, step in enumerate(path):
        if path[0] == "nodes" and depth == 0:
            model = (FlowModel, "nodes")
        elif path[0] == "nodes" and depth == 1:
            model = (NodeModel, "a node")
        elif step in _INNER:
            model = _INNER[str(step)]
        else:
            return model[0], str(step)
    return model


def _misfit(path: Sequence[str | int], value: str) -> str:
    """Say what the innermost described field on `path` must be, and what stands there instead."""
    if len(path) == 2 and path[0] == "nodes":  # noqa: PLR2004 - nodes, and a name
        return f"a node must be a mapping with notebook or function, not {value}"
    for depth in range(len(path), 0, -1):
        model, inside = _model_at(path[: depth - 1])
        field = model.model_fields.get(str(path[depth - 1]))
        if field is None:
            continue
        name = str(path[depth - 1])
        shown = f"{inside}: {name}" if inside in _INNER else name
        inner = ": ".join(f"item {s + 1}" if isinstance(s, int) else s for s in path[depth:])
        instead = f"but {inner} is {value}" if inner else f"not {value}"
        return f"{shown} must be {field.description}, {instead}"
    return f"a flow file must be a mapping with flow and nodes, not {value}"
