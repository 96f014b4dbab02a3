"""``--detach`` on the command line: what it refuses, before anything is run."""

import pytest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("note.ipynb", "-"), "Name a file as OUTPUT"),
        (("note.ipynb", "/dev/fd/3"), "Name a file as OUTPUT"),
        (("note.ipynb", "out.ipynb", "--log-output"), "nbflow logs RUN NODE"),
        (("note.ipynb", "out.ipynb", "--stdout-file", "-"), "Name a plain file"),
        (("note.ipynb", "out.ipynb", "--stderr-file", "/dev/stderr"), "Name a plain file"),
    ],
)
def test_what_needs_a_process_that_waits_is_refused(nbflow, notebook, folder, words, told) -> None:
    notebook("note.ipynb", "x = 1")
    result = nbflow("run", *words, "--detach")
    assert result.code == 2
    assert told in " ".join(result.err.split())
    assert not (folder / ".nbflow").exists()


def test_a_faulty_flow_is_told_as_without_detach(nbflow, folder) -> None:
    (folder / "flow.yaml").write_text("flow: f\nnodes:\n  a: {notebook: absent.ipynb}\n")
    result = nbflow("run", "flow.yaml", "--detach")
    assert result.code == 2
    assert "flow.yaml:3" in result.err
    assert "nothing was run" in result.err
