"""Secrets on a worker: resolved for the node alone, and in nothing that leaves the attempt."""

import hashlib
import sys
import types

import msgspec
import numpy as np
import pandas as pd
import pytest

from nbflow.core.attempts import AttemptTask
from nbflow.core.values import Fields, Inline, Items, Secret, SecretText
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.masking import MASKED
from nbflow.worker.secrets import Secrets, holding_secrets, resolve_secrets

SCRAP = """
from IPython.display import display
scrap = {"name": "x", "data": [token], "encoder": "json", "version": 1}
display({"application/scrapbook.scrap.json+json": scrap}, raw=True)
"""

TOKEN = Secret("env:TOKEN")
ADMIN = Secret("keyring:db/admin")
TEXT = 'correct-"horse"-battery'
KEEPER = "hunter22-of-the-keyring"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TOKEN", TEXT)


@pytest.fixture
def keyring(monkeypatch):
    """A keyring that holds one entry."""
    module = types.ModuleType("keyring")
    module.get_password = lambda service, user: (
        KEEPER if (service, user) == ("db", "admin") else None
    )
    monkeypatch.setitem(sys.modules, "keyring", module)
    return module


def with_secrets(task: AttemptTask, **params) -> AttemptTask:
    return msgspec.structs.replace(task, params={**task.params, **params})


def everything(bench, outcome) -> bytes:
    """Return all bytes that the attempt has left or handed on, and what it reported."""
    stored = [path.read_bytes() for path in bench.folder.rglob("*") if path.is_file()]
    return b"\n".join([msgspec.json.encode(outcome), repr(bench.reports).encode(), *stored])


def test_secrets_come_from_the_environment_and_the_keyring(keyring):
    params = {"a": TOKEN, "b": Items((SecretText(("x", ADMIN)), Inline(1))), "c": Inline(2)}
    secrets = resolve_secrets(params, {"TOKEN": TEXT}, "w1")
    assert secrets.revealed(params["a"]) == Inline(TEXT)
    assert secrets.revealed(Fields({"f": params["b"]})) == Fields(
        {"f": Items((Inline(f"x{KEEPER}"), Inline(1)))}
    )
    assert secrets.revealed(params["c"]) is params["c"]
    assert list(holding_secrets(params)) == ["a", "b"]
    assert TEXT not in repr(secrets)


def test_without_secrets_nothing_is_masked():
    assert not resolve_secrets({"a": Inline(1)}, {}, "w1").mask.active
    assert not Secrets().mask.active


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (Secret("env:MISSING"), "does not exist. Set the environment variable MISSING where"),
        (Secret("env:EMPTY"), "has 0 characters"),
        (Secret("env:SHORT"), "has 3 characters, and one of fewer than 4 cannot be masked"),
        (Secret("keyring:db/nobody"), "keyring set db nobody"),
    ],
)
def test_a_secret_that_cannot_be_had_says_what_to_do(keyring, secret, words):
    with pytest.raises(InvalidInput) as raised:
        resolve_secrets({"p": secret}, {"EMPTY": "", "SHORT": "abc"}, "w1")
    assert f"parameter 'p': the secret {secret} on worker w1" in str(raised.value)
    assert words in str(raised.value)


def test_a_worker_without_keyring_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(InvalidInput, match=r"pip install nbflow\[keyring\]"):
        resolve_secrets({"p": ADMIN}, {}, "w1")


def test_a_keyring_that_fails_is_named(keyring):
    def locked(service, user):
        raise RuntimeError("it is locked")

    keyring.get_password = locked
    with pytest.raises(InvalidInput, match="RuntimeError: it is locked"):
        resolve_secrets({"p": ADMIN}, {}, "w1")


def test_a_function_gets_the_text(bench):
    def digest(token, url, config):
        assert url == f"https://{token}@host"
        assert config == {"tokens": [token]}
        return __import__("hashlib").sha256(token.encode()).hexdigest()

    params = {
        "token": TOKEN,
        "url": SecretText(("https://", TOKEN, "@host")),
        "config": Fields({"tokens": Items((TOKEN,))}),
    }
    outcome = bench.run(with_secrets(bench.function(digest), **params))
    assert outcome.status == "succeeded", outcome.error
    assert outcome.outputs["result"] == Inline(hashlib.sha256(TEXT.encode()).hexdigest())


def test_what_a_function_prints_is_masked_also_in_pieces(bench):
    def talk(token):
        print("token", token, "and", end=" ")
        for letter in token:
            print(letter, end="")
        print("!")

    outcome = bench.run(with_secrets(bench.function(talk), token=TOKEN))
    assert bench.store.get(outcome.log.digest) == f"token {MASKED} and {MASKED}!\n".encode()
    assert TEXT.encode() not in everything(bench, outcome)


def test_an_asynchronous_function_is_masked_too(bench):
    async def talk(token):
        import asyncio

        print("before", token)
        await asyncio.sleep(0)
        print("after", token)
        raise ValueError(token)

    outcome = bench.run(with_secrets(bench.function(talk), token=TOKEN))
    assert outcome.error.message == MASKED
    assert bench.store.get(outcome.log.digest) == f"before {MASKED}\nafter {MASKED}\n".encode()


def test_what_a_function_raises_is_masked(bench):
    def fail(token):
        raise KeyError("x" * 1990 + token)

    outcome = bench.run(with_secrets(bench.function(fail), token=TOKEN))
    assert outcome.status == "failed"
    assert outcome.reason.kind == "error"
    left = everything(bench, outcome)
    # Neither whole nor cut by the limit of a message's length.
    assert b"correct-" not in left
    assert MASKED.encode() in left


@pytest.mark.parametrize(
    "shape",
    [
        lambda token: token,
        lambda token: {"deep": ["a " + token]},
        lambda token: ("tuple", token),
        lambda token: [token] * 2000,
        lambda token: np.array([token]),
        lambda token: pd.DataFrame({"a": ["x", token] * 50}),
        lambda token: pd.DataFrame({"a": pd.Categorical(["x", token])}),
        lambda token: pd.DataFrame({token: [1]}),
    ],
)
def test_a_function_cannot_hand_on_a_secret(bench, shape):
    outcome = bench.run(with_secrets(bench.function(shape), token=TOKEN))
    assert outcome.status == "failed"
    assert outcome.error.type == "OutputHasSecret"
    assert "output 'result' contains the secret ${env:TOKEN}" in outcome.error.message
    assert outcome.outputs == {}
    assert TEXT.encode() not in everything(bench, outcome)


def test_a_function_whose_secret_is_missing_is_not_called(bench):
    def use(token):
        raise AssertionError("called")

    outcome = bench.run(with_secrets(bench.function(use), token=Secret("env:MISSING")))
    assert (outcome.status, outcome.reason.kind) == ("failed", "invalid_input")
    assert "Set the environment variable MISSING" in outcome.reason.message
    assert "on worker w1" in outcome.reason.message


def test_a_notebook_gets_the_text_and_says_so_in_a_comment(bench):
    task = bench.notebook(
        tagged("token = 'default'\nurl = None", "parameters"),
        "import hashlib\n[hashlib.sha256(token.encode()).hexdigest(), len(url)]",
        "globals().keys() & {'nbflow', 'guest'}, In[-2]",
    )
    url = SecretText(("https://", TOKEN, "@host"))
    outcome = bench.run(with_secrets(task, token=TOKEN, url=url, plain=Inline(7)))
    assert outcome.status == "succeeded", outcome.error
    book = bench.executed(outcome)
    assert [cell.metadata.get("tags") for cell in book.cells[:2]] == [
        ["parameters"],
        ["injected-parameters"],
    ]
    note = "set by nbflow when this ran, and not shown: it holds ${env:TOKEN}"
    assert book.cells[1].source.splitlines() == [
        "# Parameters",
        "plain = 7",
        f"# token: {note}",
        f"# url: {note}",
    ]
    assert book.metadata.papermill.parameters == {
        "token": "${env:TOKEN}",
        "url": "https://${env:TOKEN}@host",
        "plain": 7,
    }
    shown = eval(book.cells[2].outputs[0].data["text/plain"])
    assert shown == [hashlib.sha256(TEXT.encode()).hexdigest(), len(TEXT) + 13]
    assert [cell.execution_count for cell in book.cells] == [1, 2, 3, 4]
    assert TEXT.encode() not in everything(bench, outcome)


def test_whatever_a_notebook_shows_is_masked(bench):
    task = bench.notebook(
        "print('one', token)\nfor letter in token: print(letter, end='', flush=True)",
        "import sys; print(token, file=sys.stderr); token",
        "import pandas as pd\npd.DataFrame({'a': [token]})",
        "from IPython.display import display, HTML\n"
        "shown = display(HTML(token), display_id=True)\nshown.update(HTML('<b>' + token))",
        "%xmode Verbose\ndef f(secret):\n    raise ValueError('no ' * 650 + secret)\nf(token)",
    )
    outcome = bench.run(with_secrets(task, token=TOKEN))
    assert outcome.status == "failed"
    assert outcome.error.type == "ValueError"
    left = everything(bench, outcome)
    for form in (TEXT, "correct-", "-battery", "&quot;horse&quot;"):
        assert form.encode() not in left
    book = bench.executed(outcome)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert outputs[0].text == f"one {MASKED}\n{MASKED}"
    assert outputs[1].text == f"{MASKED}\n"
    assert outputs[2].data["text/plain"] == f"'{MASKED}'"
    assert f"<td>{MASKED}</td>" in outputs[3].data["text/html"]
    assert outputs[4].data["text/html"] == f"<b>{MASKED}"


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("x = token", "x"),
        ("x = ['a' + token] * 3000", "x"),
        ("import numpy as np\nx = np.array([token])", "x"),
        ("import pandas as pd\nx = pd.DataFrame({'a': [token]})", "x"),
        ("import nbflow\nx = nbflow.emit('x', {'a': token})", "x"),
        ("import os\nopen(os.environ['NBFLOW_OUTPUTS'] + '/x.txt', 'w').write(token)", "x"),
        (SCRAP, "x"),
    ],
)
def test_a_notebook_cannot_hand_on_a_secret(bench, cell, name):
    outcome = bench.run(with_secrets(bench.notebook(cell, outputs=(name,)), token=TOKEN))
    assert outcome.status == "failed"
    assert outcome.error.type == "OutputHasSecret"
    assert f"{name!r} contains" in outcome.error.message
    assert TEXT.encode() not in everything(bench, outcome)


def test_what_is_no_table_under_the_name_of_one_is_searched_as_it_is(bench):
    write = "import os\nopen(os.environ['NBFLOW_OUTPUTS'] + '/x.parquet', 'w').write({})"
    clean = bench.run(with_secrets(bench.notebook(write.format("'PAR1'")), token=TOKEN))
    assert clean.status == "succeeded", clean.error
    leaking = bench.run(with_secrets(bench.notebook(write.format("token")), token=TOKEN))
    assert leaking.error.type == "OutputHasSecret"


def test_a_notebook_that_dies_with_a_secret_in_its_log_is_masked(bench):
    task = bench.notebook(
        "import os, signal\nos.write(2, ('last words: ' + token + '\\n').encode())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    outcome = bench.run(with_secrets(task, token=TOKEN))
    assert outcome.reason.kind == "kernel_died"
    assert TEXT.encode() not in everything(bench, outcome)


def test_a_notebook_whose_secret_is_missing_is_not_started(bench):
    task = with_secrets(bench.notebook("1"), token=Secret("env:MISSING"))
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason.kind) == ("failed", "invalid_input")
    assert "Set the environment variable MISSING" in outcome.reason.message
    assert not bench.saved.exists()


def test_a_shell_gets_the_text_and_keeps_no_history_of_it(bench, bash, monkeypatch):
    home = bench.folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    task = bench.notebook(
        'printf %s "$secret" | sha256sum',
        "echo $secret",
        "history -w",
        kernel="bash",
        language="bash",
    )
    # A name of its own: the environment's variable is there in any case.
    outcome = bench.run(with_secrets(task, secret=TOKEN))
    assert outcome.status == "succeeded", outcome.error
    book = bench.executed(outcome)
    texts = ["".join(output.text for output in cell.outputs) for cell in book.cells]
    assert texts[1].split()[0] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert texts[2] == f"{MASKED}\n"
    assert TEXT.encode() not in everything(bench, outcome)


def tagged(source, *tags):
    import nbformat

    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
