"""What of a notebook's metadata tells what has happened, and not when, where and by whom."""

import json
from collections.abc import Mapping
from typing import Any, Final

from nbflow.notebooks.comparing.rules import common_form

#: What is left out, by its path in the metadata, and why.
LEFT_OUT: Final[Mapping[tuple[str, ...], str]] = {
    ("execution",): "when a cell ran",
    ("nbflow",): "how nbflow has run it",
    ("papermill", "start_time"): "when it ran",
    ("papermill", "end_time"): "when it ran",
    ("papermill", "duration"): "no two runs take as long",
    ("papermill", "input_path"): "each run has the notebook in a folder of its own",
    ("papermill", "output_path"): "each run writes a notebook of its own",
    ("widgets",): "compared apart, since all names in it are random",
}

_WIDGETS = "application/vnd.jupyter.widget-state+json"


def told(metadata: Mapping[str, Any]) -> str:
    """Return the metadata of a notebook or a cell as a text that can be compared."""
    kept = {key: _kept(value, (key,)) for key, value in metadata.items() if (key,) not in LEFT_OUT}
    return common_form(_json(kept), "application/json")


def widget_states(metadata: Mapping[str, Any]) -> str:
    """Return the widgets of a notebook, in an order that does not depend on their random names."""
    states = metadata.get("widgets", {}).get(_WIDGETS, {}).get("state", {})
    return "\n".join(sorted(common_form(_json(it), "application/json") for it in states.values()))


def _kept(value: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(value, Mapping):
        return value
    inner = ((key, each, (*path, key)) for key, each in value.items())
    return {key: _kept(each, place) for key, each, place in inner if place not in LEFT_OUT}


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True, default=str)
