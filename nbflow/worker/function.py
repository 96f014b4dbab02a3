"""Perform an attempt of a function node.

The way of a function that takes and returns small JSON values is kept short: one hop to a thread
and back, no file, and the unpickled function stays for the next attempt. A thread cannot be
interrupted: when time is up or the attempt is to stop, the outcome says so, and the function
goes on in the background with nobody waiting for it.

The return value is the output ``result``. Where other outputs are asked for, it must be a mapping
that holds them.
"""

import asyncio
import inspect
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from nbflow import guest
from nbflow.core.attempts import AttemptTask, Outcome
from nbflow.core.errors import ArtifactError, NbflowError
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import FunctionCode
from nbflow.core.states import Reason
from nbflow.core.values import Value
from nbflow.notebooks.errors import InvalidInput, OutputProblem
from nbflow.notebooks.keeping import keep_value, not_stored
from nbflow.ports import ArtifactStore
from nbflow.worker.loading import load_function, load_params
from nbflow.worker.printing import LivePrinting
from nbflow.worker.probing.functions import FunctionProbing, FunctionUsage
from nbflow.worker.probing.prober import Prober
from nbflow.worker.receipts import with_receipt
from nbflow.worker.secrets import Secrets, resolve_secrets
from nbflow.worker.streams import Log, printing_to
from nbflow.worker.telling import Told

#: The output that a function's return value becomes.
RESULT = "result"

_TRACEBACK_LIMIT = 6000
_MESSAGE_LIMIT = 2000

_GOES_ON = "a Python function cannot be interrupted, and may go on in the background for a while"


async def perform_function(
    task: AttemptTask,
    *,
    worker_name: str,
    store: ArtifactStore,
    report: Callable[[Told], None],
    clock: Callable[[], float],
    threads: Executor,
    prober: Prober | None = None,
) -> Outcome:
    """Perform one attempt of a function node; see `nbflow.worker.perform`."""
    loop = asyncio.get_running_loop()
    printing = LivePrinting(task.id, report, clock=clock, loop=loop) if task.heard else None
    attempt = _FunctionAttempt(task, worker_name, store, clock, printing)
    probing = None if prober is None else FunctionProbing(attempt.usage, task.id, prober, report)
    try:
        return await _performed(attempt, task, threads)
    finally:
        if probing is not None:
            probing.end()
        if printing is not None:
            printing.close()


async def _performed(attempt: "_FunctionAttempt", task: AttemptTask, threads: Executor) -> Outcome:
    limit_s = task.timeout.hard if task.timeout.hard is not None else task.timeout.soft
    try:
        async with asyncio.timeout(limit_s):
            return await attempt.perform(threads)
    except TimeoutError:
        message = f"took longer than {limit_s:g} s; {_GOES_ON}"
        return attempt.outcome("failed", reason=Reason("timed_out", message))
    except asyncio.CancelledError:
        # Deliberately swallowed: see `nbflow.worker.performing`.
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()
        reason = Reason("interrupted", f"stopped while it ran; {_GOES_ON}")
        return attempt.outcome("stopped", reason=reason)


class _FunctionAttempt:
    """One call. All but the awaiting of a coroutine happens in a thread."""

    def __init__(
        self,
        task: AttemptTask,
        worker_name: str,
        store: ArtifactStore,
        clock: Callable[[], float],
        printing: LivePrinting | None,
    ) -> None:
        assert isinstance(task.code, FunctionCode)
        self._code = task.code
        self._task = task
        self._worker_name = worker_name
        self._store = store
        self._clock = clock
        self._secrets = Secrets()
        self._heard = printing.hear if printing is not None else None
        self._log = Log(heard=self._heard)
        self.usage = FunctionUsage()
        self._started_at = clock()

    async def perform(self, threads: Executor) -> Outcome:
        loop = asyncio.get_running_loop()
        ended = await loop.run_in_executor(threads, copy_context().run, self._call)
        if isinstance(ended, Outcome):
            return ended
        # The function was asynchronous: it runs here, in the worker's loop.
        with printing_to(self._log):
            try:
                result = await ended
            except Exception as error:  # noqa: BLE001 - the user's; told in the outcome
                return await loop.run_in_executor(threads, self._raised, error)
        return await loop.run_in_executor(threads, self._returned, result)

    def outcome(self, status: Any, **fields: Any) -> Outcome:
        """Return the outcome as of now, without any secret in its messages."""
        outcome = Outcome(
            id=self._task.id,
            status=status,
            started_at=self._started_at,
            ended_at=self._clock(),
            usage=self.usage.sum(),
            **fields,
        )
        return self._secrets.masked(outcome)

    def _call(self) -> Outcome | Awaitable[Any]:
        self.usage.begin()
        try:
            self._secrets = resolve_secrets(self._task.params, os.environ, self._worker_name)
        except InvalidInput as error:
            return self._uncalled(error)
        self._log = Log(self._secrets.mask, heard=self._heard)
        with printing_to(self._log):
            try:
                function = load_function(self._code, self._store)
                revealed = {n: self._secrets.revealed(it) for n, it in self._task.params.items()}
                params = load_params(revealed, self._store)
            except ArtifactError as error:
                return self._uncalled(error)
            except BaseException as error:  # noqa: BLE001 - the user's reducers; told as below
                return self._raised(error)
            try:
                result = function(**params)
            except BaseException as error:  # noqa: BLE001 - the user's; told in the outcome
                return self._raised(error)
        if inspect.isawaitable(result):
            # What it uses in the worker's loop is nobody's in particular.
            self.usage.leave_thread()
            return result
        return self._returned(result)

    def _uncalled(self, error: NbflowError) -> Outcome:
        """Return the outcome of a function that could not be called: it is not to blame."""
        message = _with_notes(error)
        info = ErrorInfo(type(error).__name__, message)
        return self._sealed("failed", reason=Reason("invalid_input", message), error=info)

    def _raised(self, error: BaseException) -> Outcome:
        # The first frame is ours.
        frames = error.__traceback__ and error.__traceback__.tb_next
        # Masked before they are cut: half a secret would not be found.
        hidden = self._secrets.mask.text
        text = hidden("".join(traceback.format_exception(type(error), error, frames)))
        message = hidden(_with_notes(error))[:_MESSAGE_LIMIT]
        info = ErrorInfo(type(error).__name__, message, traceback=text[-_TRACEBACK_LIMIT:])
        shown = f"{info.type}: {message}" if message else info.type
        reason = Reason("error", f"{self._code.label} raised {shown}")
        return self._sealed("failed", reason=reason, error=info)

    def _returned(self, result: Any) -> Outcome:
        outputs: dict[str, Value] = {}
        problems: list[OutputProblem] = []
        for name, value in self._named(result):
            try:
                if isinstance(value, OutputProblem):
                    raise value
                outputs[name] = keep_value(name, value, self._store, self._secrets.mask)
            except guest.Unstorable as error:
                # What nobody asked for need not be storable.
                if name in self._task.outputs:
                    problems.append(_not_storable(name, value, error))
            except OutputProblem as problem:
                problems.append(problem)
            except ArtifactError as error:
                problems.append(not_stored(name, error))
        if not problems:
            return self._sealed("succeeded", outputs=outputs)
        message = "; ".join(str(problem) for problem in problems)
        return self._sealed(
            "failed",
            reason=Reason("error", message),
            error=ErrorInfo(problems[0].kind, message),
            outputs=outputs,
        )

    def _named(self, result: Any) -> Iterator[tuple[str, Any]]:
        """Yield the outputs that `result` stands for, a problem in the place of a missing one."""
        others = [name for name in self._task.outputs if name != RESULT]
        if not others or RESULT in self._task.outputs:
            yield RESULT, result
        for name in others:
            if isinstance(result, Mapping) and name in result:
                yield name, result[name]
            else:
                yield name, _missing(name, result)

    def _sealed(self, status: Any, **fields: Any) -> Outcome:
        text = self._log.text()
        if text:
            # On a full disk, no log is better than no reason.
            with suppress(ArtifactError):
                fields["log"] = self._store.put(text.encode(errors="replace"), "text")
        outcome = self.outcome(status, **fields)
        return with_receipt(outcome, self._store, careful=self._task.careful)


def _with_notes(error: BaseException) -> str:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"{error}{notes}"


def _missing(name: str, result: Any) -> OutputProblem:
    returned = (
        "a mapping with " + (", ".join(repr(key) for key in result) or "nothing in it")
        if isinstance(result, Mapping)
        else f"a value of type {guest.type_name(result)}"
    )
    return OutputProblem(
        "OutputMissing",
        f"output {name!r} was asked for, but the function returned {returned}. Return a mapping "
        f"that has {name!r}, or refer to the whole return value as {RESULT!r}",
    )


def _not_storable(name: str, value: Any, error: guest.Unstorable) -> OutputProblem:
    return OutputProblem(
        "OutputNotStorable",
        f"output {name!r} is a value of type {guest.type_name(value)}, which cannot be stored "
        f"({error.__cause__ or error}). Return something else (what it was made from, or the path "
        f"of a file)",
    )
