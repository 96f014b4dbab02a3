"""What parameters a notebook has, as papermill's ``--help-notebook`` tells it."""

from collections.abc import Iterator

from papermill.inspection import inspect_notebook
from papermill.utils import any_tagged_cell

from nbflow.notebooks.reading import read_notebook

#: Column of a parameter's description; a longer parameter has it on the next line.
_COLUMN, _LONGEST = 32, 28


def parameter_lines(data: bytes, source: str) -> Iterator[str]:
    """Yield a line or two for each parameter of a notebook, in papermill's words.

    Parameters
    ----------
    data
        Content of the file.
    source
        Where it came from, for messages.

    Raises
    ------
    InvalidInput
        If it is not a notebook.
    """
    notebook = read_notebook(data, source)
    if not any_tagged_cell(notebook, "parameters"):
        yield "No cell tagged 'parameters'"
        return
    parameters = inspect_notebook(notebook).values()
    if not parameters:
        yield "Can't infer anything about its parameters. It may not have any."
    for parameter in parameters:
        kind = parameter["inferred_type_name"]
        shown = "Unknown type" if kind == "None" else kind
        text = f"{parameter['name']}: {shown} (default {parameter['default']})"
        if len(text) <= _LONGEST:
            yield f"{text:<{_COLUMN}}{parameter['help']}".rstrip()
        else:
            yield text
            if parameter["help"]:
                yield " " * _COLUMN + parameter["help"]
