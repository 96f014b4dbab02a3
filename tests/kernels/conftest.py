"""Real kernels, warm ones too, and a way to let them say what they see."""

import json

import pytest

from nbflow.kernels import Kernel, WarmPool


@pytest.fixture
def pool():
    pool = WarmPool(idle_limit=2)
    yield pool
    pool.close()


@pytest.fixture
def ask(tmp_path):
    """Evaluate an expression in a kernel and return its value, by way of JSON in a file."""

    async def ask(kernel: Kernel, expression: str):
        answer = str(tmp_path / f"answer-{kernel.pid}")
        write = f"__import__('pathlib').Path({answer!r}).write_text"
        await kernel.evaluate(f"{write}(__import__('json').dumps({expression}))")
        with open(answer) as file:  # noqa: ASYNC230, PTH123 - a few bytes
            return json.load(file)

    return ask


@pytest.fixture
def do(tmp_path):
    """Execute statements in a kernel's user namespace."""

    async def do(kernel: Kernel, statements: str):
        await kernel.evaluate(f"exec({statements!r}, globals())")

    return do
