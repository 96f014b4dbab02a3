"""A secret reaches notebooks and functions, and no byte that a run leaves behind."""

import hashlib
import json
import subprocess
import sys
import tempfile

import pytest

import nbflow

#: With characters that JSON, HTML and URLs escape.
TEXT = 'corr&ct-"horse"-battery/staple'
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()
TOKEN = nbflow.Secret("env:NBFLOW_TEST_TOKEN")
#: Any part of the secret that tells it.
TRACES = (TEXT, "corr&", "corr\\u0026", "corr&amp;", "horse", "-battery", "corr%26")

TALK = """
import hashlib, sys
import pandas as pd
print("token:", token)
for letter in token:
    print(letter, end="", flush=True)
print(url, file=sys.stderr)
pd.DataFrame({"token": [token], "url": [url]})
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of all temporary files, also of workers and kernels."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def traces_in(folder) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [
        f"{trace!r} in {path.relative_to(folder)}"
        for path in files
        for trace in TRACES
        if trace.encode() in path.read_bytes()
    ]


def secret_flow(folder) -> nbflow.Flow:
    flow = nbflow.Flow("secretive", params={"token": TOKEN}, base_dir=folder)
    params = {"token": flow.param("token"), "url": f"https://me:{flow.param('token')}@host"}
    flow.notebook("talk.ipynb", params=params, outputs=["digest"])
    flow.notebook("hands-on.ipynb", params=params, outputs=["copy"])
    flow.notebook("fails.ipynb", params=params)

    @flow.task(params={"token": "${env:NBFLOW_TEST_TOKEN}"})
    def boom(token):
        print("about to fail with", token)
        raise RuntimeError({"token": token})

    return flow


def test_nothing_that_a_run_leaves_has_the_secret(
    tmp_path, temporary, notebook, monkeypatch, capfd
) -> None:
    monkeypatch.setenv("NBFLOW_TEST_TOKEN", TEXT)
    first = "token = url = 'default'"
    notebook(
        "talk.ipynb", TALK, "digest = hashlib.sha256(token.encode()).hexdigest()", parameters=first
    )
    notebook("hands-on.ipynb", "copy = {'inside': [url]}", parameters=first)
    notebook("fails.ipynb", "raise ValueError(f'no access with {token!r}')", parameters=first)
    flow = secret_flow(tmp_path)
    for node in flow.spec().nodes:
        assert TEXT not in repr(node)

    with pytest.raises(nbflow.RunFailed) as failed:
        flow.run(cluster=nbflow.Embedded(workers=1), output_dir=tmp_path / "out", progress=True)

    run = failed.value.run
    # The notebooks and functions did get it.
    assert run["talk"].outputs["digest"] == DIGEST
    assert run["talk"].logs.count("***") >= 3
    assert run["hands-on"].error.type == "OutputHasSecret"
    assert "${env:NBFLOW_TEST_TOKEN}" in run["hands-on"].error.message
    assert run["fails"].error.message == "no access with '***'"
    assert run["boom"].logs == "about to fail with ***\n"
    assert run["boom"].error.type == "RuntimeError"
    # Nothing else has it: what was shown, what is stored, what can be asked for.
    shown = capfd.readouterr()
    asked = [
        subprocess.run(
            [
                sys.executable,
                "-m",
                "nbflow",
                command,
                run.id,
                *rest,
                "--home",
                tmp_path / ".nbflow",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for command, *rest in (
            ("show",),
            ("show", "--json"),
            ("events", "--json"),
            ("logs", "boom"),
        )
    ]
    assert "token = ${env:NBFLOW_TEST_TOKEN}" in asked[0]
    assert "about to fail with ***" in asked[-1]
    told = [shown.out, shown.err, *asked, str(failed.value), repr(run["boom"].story)]
    assert [trace for trace in TRACES for text in told if trace in text] == []
    assert traces_in(tmp_path) == []
    assert "NBFLOW_TEST_TOKEN" in json.dumps(
        json.loads((tmp_path / "out" / "talk.ipynb").read_text())["metadata"]["papermill"]
    )


def test_the_temporary_files_of_the_workers_are_clean_while_they_exist(
    tmp_path, temporary, notebook, monkeypatch
) -> None:
    monkeypatch.setenv("NBFLOW_TEST_TOKEN", TEXT)
    notebook("talk.ipynb", TALK, parameters="token = url = ''")
    flow = nbflow.Flow("secretive", base_dir=tmp_path)
    talk = flow.notebook("talk.ipynb", params={"token": TOKEN, "url": f"https://{TOKEN}@host"})

    @flow.task(after=[talk])
    def audit(token=TOKEN):
        from pathlib import Path

        print("looking for", token)
        files = [path for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file()]
        assert any(path.name.startswith("worker-") for path in files)
        return [str(path) for path in files if token.encode() in path.read_bytes()]

    run = flow.run(cluster=nbflow.Embedded(workers=1), progress=False)
    assert run["audit"].outputs["result"] == []


def test_a_secret_that_a_worker_lacks_fails_the_node_at_once(
    tmp_path, notebook, monkeypatch
) -> None:
    monkeypatch.delenv("NBFLOW_TEST_TOKEN", raising=False)
    notebook("n.ipynb", "1", parameters="token = None")
    flow = nbflow.Flow("secretive", base_dir=tmp_path)
    flow.notebook("n.ipynb", params={"token": TOKEN}, retries=3)
    with pytest.raises(nbflow.RunFailed) as failed:
        flow.run(cluster=nbflow.Embedded(workers=1), progress=False)
    node = failed.value.run["n"]
    assert node.reason.kind == "invalid_input"
    assert "Set the environment variable NBFLOW_TEST_TOKEN" in node.reason.message
    assert node.attempts == 1
