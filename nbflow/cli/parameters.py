"""Parameters on the command line, by papermill's rules.

``-p NAME VALUE`` casts ``True``, ``False``, ``None``, integers and floats, and leaves the rest
as text; ``-r`` casts nothing, and reads no secret in it; ``-f``, ``-y`` and ``-b`` are YAML in a
file, as it stands, and in base64, where dates stay text. Later in this order wins: ``-b``, ``-f``,
``-y``, ``-p``, ``-r``. The tests hold all of it against papermill, which itself takes seconds to
import.
"""

import base64
import binascii
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from nbflow._jsonschema import defer_grammar

Pairs = Iterable[tuple[str, str]]

_WORDS = {"True": True, "False": False, "None": None}


def collected(
    *,
    encoded: Iterable[str] = (),
    files: Iterable[str] = (),
    texts: Iterable[str] = (),
    pairs: Pairs = (),
    raw: Pairs = (),
) -> dict[str, Any]:
    """Return the parameters of all options together.

    Parameters
    ----------
    encoded, files, texts
        The values of ``-b``, ``-f`` and ``-y``.
    pairs, raw
        Names and values of ``-p`` and ``-r``.

    Raises
    ------
    click.BadParameter
        If a file cannot be read, or YAML is malformed or no mapping of names.
    """
    params: dict[str, Any] = {}
    for text in encoded:
        params |= _mapping(_decoded(text), "-b")
    for path in files:
        params |= _mapping(_read(path), f"-f {path}")
    for text in texts:
        params |= _mapping(text, "-y")
    params |= {name: cast(value) for name, value in pairs}
    params |= {name: _literal(text) for name, text in raw}
    return params


def cast(text: str) -> Any:
    """Return the value that papermill gives to ``-p NAME text``."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _literal(text: str) -> str:
    from nbflow.definition.references import literal  # lazy: not for help

    return literal(text)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise click.BadParameter(f"this is not text in base64: {error}", param_hint="-b") from error


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    if "://" in path:
        return _read_remote(path)
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise click.BadParameter(f"cannot be read: {cause}", param_hint=f"-f {path}") from error


def _read_remote(path: str) -> str:
    defer_grammar()
    from papermill.iorw import papermill_io  # lazy: seconds of import, for a rare case

    try:
        return str(papermill_io.read(path, [".json", ".yaml", ".yml"]))
    except Exception as error:
        # Clients of object stores raise what they like; all of it means that there is no file.
        raise click.BadParameter(f"cannot be read: {error}", param_hint=f"-f {path}") from error


def _mapping(text: str, option: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds; an empty text is an empty mapping."""
    import yaml  # lazy: not for help, and not for -p

    try:
        # A subclass of SafeLoader.
        content = yaml.load(text, Loader=_loader())  # noqa: S506 - see above
    except yaml.YAMLError as error:
        raise click.BadParameter(f"malformed YAML: {error}", param_hint=option) from error
    if not content and not isinstance(content, dict):
        return {}
    if not isinstance(content, dict):
        raise click.BadParameter(
            f"this is a {type(content).__name__}, and must be a mapping, as in 'name: value'",
            param_hint=option,
        )
    strange = [key for key in content if not isinstance(key, str)]
    if strange:
        raise click.BadParameter(
            f"the name {strange[0]!r} is not text. Put it into quotes", param_hint=option
        )
    return content


def _loader() -> Any:
    """Return YAML's safe loader without dates: they stay text."""
    import yaml

    class NoDatesLoader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [it for it in resolvers if it[0] != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return NoDatesLoader
