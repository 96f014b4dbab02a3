"""The outputs of a cell as texts that can be compared.

What is printed arrives in pieces whose number depends on time, and pieces of two streams arrive as
they come: between two displays, what went to each stream is one text.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from nbflow.notebooks.comparing.pictures import picture
from nbflow.notebooks.comparing.rules import common_form

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Shown(msgspec.Struct, frozen=True):
    """One text that a cell gave, in its common form; `what` says which, for people."""

    what: str
    text: str


def shown_by(cell: Mapping[str, Any]) -> tuple[Shown, ...]:
    """Return what a code cell gave, in order."""
    found: list[Shown] = []
    printed: dict[str, list[str]] = {}
    number = 0
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            printed.setdefault(output["name"], []).append(_text(output["text"]))
            continue
        found += _printed(printed)
        printed = {}
        number += 1
        found += _displayed(output, number)
    return (*found, *_printed(printed))


def _printed(printed: Mapping[str, list[str]]) -> Iterator[Shown]:
    # In one order, whichever came first.
    for name in sorted(printed, reverse=True):
        yield Shown(name, common_form(_terminal("".join(printed[name])), "text/plain"))


def _terminal(text: str) -> str:
    return _ANSI.sub("", text)


def _displayed(output: Mapping[str, Any], number: int) -> Iterator[Shown]:
    kind = output["output_type"]
    what = f"output {number} ({kind})"
    if kind == "error":
        traceback = _terminal("\n".join(output["traceback"]))
        text = f"{output['ename']}: {output['evalue']}\n{traceback}"
        yield Shown(what, common_form(text, "text/plain"))
        return
    if kind == "execute_result":
        yield Shown(f"{what}, its count", str(output.get("execution_count")))
    data = output.get("data", {})
    yield Shown(f"{what}, its MIME types", "\n".join(sorted(data)))
    for mime in sorted(data):
        yield Shown(f"{what}, {mime}", _common(data[mime], mime))
    if output.get("metadata"):
        yield Shown(f"{what}, its metadata", _json(output["metadata"]))


def _common(content: Any, mime: str) -> str:
    if isinstance(content, (dict, int, float, bool)) or "json" in mime:
        return common_form(_json(content), mime)
    text = _text(content)
    if mime.startswith("image/") and not mime.startswith("image/svg"):
        return picture(text, mime)
    return common_form(text, mime)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(map(str, content))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, default=str)
