"""What the next attempt of a node would be made of, read off the state of its run.

See `nbflow.core.fingerprints` for what is compared, and why.
"""

import msgspec

from nbflow.core.fingerprints import Fingerprint, digest
from nbflow.core.run import NodeRun, Run
from nbflow.core.spec import NodeSpec
from nbflow.core.values import (
    Artifact,
    Binding,
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    Secret,
    SecretText,
    Text,
    references,
)

_encoder = msgspec.json.Encoder(order="sorted")


def fingerprint_of(run: Run, name: str, files: str = "") -> Fingerprint:
    """Return what an attempt of `name` would be made of now.

    Parameters
    ----------
    run
        All that the node waits for has ended.
    name
        The node.
    files
        Digest of the files that the node is declared to read.
    """
    node = run.graph.nodes[name]
    return Fingerprint(
        code=node.identity.code or node.code.digest,
        modules=node.identity.modules,
        environment=node.identity.environment,
        files=files,
        params=_of_params(node, run),
        upstream=_of_upstream(node, run),
    )


def _of_params(node: NodeSpec, run: Run) -> str:
    """Digest the node's own parameters, with references to outputs left as references."""
    if not node.params:
        return ""
    return digest(*(_piece(name, _of(b, run)) for name, b in sorted(node.params.items())))


def _of_upstream(node: NodeSpec, run: Run) -> str:
    """Digest the outputs that the node receives, and the making of what it comes after."""
    received = sorted(
        {
            (reference.node, reference.output)
            for binding in node.params.values()
            for reference in references(binding)
            if isinstance(reference, FromOutput)
        }
    )
    pieces = [
        _piece(f"{source}.{output}", _of_output(run.nodes[source], output))
        for source, output in received
    ]
    pieces += [_piece(source, _of_making(run.nodes[source])) for source in sorted(node.after)]
    return digest(*pieces) if pieces else ""


def _of_output(node: NodeRun, output: str) -> object:
    value = node.outputs.get(output)
    return None if value is None else _of(value, None)


def _of_making(node: NodeRun) -> object:
    """Return what tells one making of a node from another: its key, and whether it went well."""
    return [node.fingerprint.key if node.fingerprint else "", node.has_result]


def _of(binding: Binding, run: Run | None) -> object:
    """Return plain data that is equal for equal bindings, with flow parameters replaced."""
    match binding:
        case Inline(value):
            return ["=", value]
        case Artifact(kind, digest):
            return ["artifact", kind, digest]
        case FromParam(name):
            assert run is not None, "an output refers to nothing"
            return _of(run.params[name], run)
        case FromOutput(node, output):
            return ["output", node, output]
        case Secret() | SecretText():
            return ["secret", str(binding)]
        case Text(parts):
            return ["text", [part if isinstance(part, str) else _of(part, run) for part in parts]]
        case Items(items):
            return ["items", [_of(item, run) for item in items]]
        case Fields(fields):
            return ["fields", {key: _of(item, run) for key, item in fields.items()}]


def _piece(name: str, content: object) -> bytes:
    return _encoder.encode([name, content])
