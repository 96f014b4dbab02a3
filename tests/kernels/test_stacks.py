"""A Python kernel answers a signal with where its threads stand."""

import asyncio
import os

import pytest

from nbflow.kernels import Wishes, start_kernel
from nbflow.kernels.answering import ANSWERS, SIGNAL


def caught(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith("SigCgt:")]
    return bool(int(line.split()[1], 16) >> (SIGNAL - 1) & 1)


async def answered(file):
    # The thread that was asked is the last.
    while b"Current thread" not in file.read_bytes():
        await asyncio.sleep(0.01)
    return file.read_text()


@pytest.mark.parametrize("warm", [True, False])
def test_a_kernel_answers_and_goes_on(pool, tmp_path, ask, warm):
    async def scenario():
        wishes = Wishes(pool=pool) if warm else Wishes()
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=wishes)
        try:
            file = kernel.answers
            before = file.read_bytes()
            os.kill(kernel.pid, SIGNAL)
            text = await asyncio.wait_for(answered(file), 20)
            return before, file, text, await ask(kernel, "1 + 1"), caught(kernel.pid)
        finally:
            await kernel.shutdown()

    before, file, text, value, handled = asyncio.run(scenario())
    assert (before, value, handled) == (b"", 2, True)
    assert file.name == ANSWERS
    assert "most recent call first" in text
    assert not file.exists()


def test_what_a_kernel_starts_has_neither_the_handler_nor_the_file(pool, tmp_path, ask):
    code = (
        "__import__('subprocess').run(['sh', '-c', 'grep SigCgt /proc/self/status; "
        "ls -l /proc/self/fd'], capture_output=True, text=True).stdout"
    )

    async def scenario():
        kernel = await start_kernel("python3", cwd=tmp_path, env={}, wishes=Wishes(pool=pool))
        try:
            return await ask(kernel, code)
        finally:
            await kernel.shutdown()

    first, *files = asyncio.run(scenario()).splitlines()
    assert int(first.split()[1], 16) >> (SIGNAL - 1) & 1 == 0
    assert not any(line.endswith(f"/{ANSWERS}") for line in files)
