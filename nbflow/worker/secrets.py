"""Secrets: from the references that a task carries to the texts that only its node may see.

They are resolved where the node runs, each time it runs, from the worker's environment or keyring.
The texts live in memory, in one `Secrets`, as long as the attempt does. What leaves the attempt
goes through its mask: outputs and logs as they arrive, and every message in `masked`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from nbflow.core.attempts import Outcome
from nbflow.core.states import Reason
from nbflow.core.values import (
    Binding,
    Fields,
    Inline,
    Items,
    Secret,
    SecretText,
    Value,
    secrets_in,
)
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.masking import SHORTEST, Mask


@dataclass(frozen=True)
class Secrets:
    """The secrets of one attempt, resolved.

    Parameters
    ----------
    texts
        What each reference stands for.
    """

    texts: Mapping[Secret, str] = field(default_factory=dict, repr=False)
    #: Hides them.
    mask: Mask = field(init=False)

    def __post_init__(self) -> None:
        names = {text: str(secret) for secret, text in self.texts.items()}
        object.__setattr__(self, "mask", Mask(names))

    def revealed(self, value: Binding) -> Binding:
        """Return `value` with every secret in it as plain text. It must not leave the attempt."""
        match value:
            case Secret():
                return Inline(self.texts[value])
            case SecretText(parts):
                known = self.texts
                shown = (known[part] if isinstance(part, Secret) else part for part in parts)
                return Inline("".join(shown))
            case Items(items):
                return Items(tuple(self.revealed(item) for item in items))
            case Fields(fields):
                return Fields({key: self.revealed(item) for key, item in fields.items()})
            case _:
                return value

    def masked(self, outcome: Outcome) -> Outcome:
        """Return `outcome` without any secret in what it says."""
        if not self.mask.active:
            return outcome
        reason, error = outcome.reason, outcome.error
        if reason is not None:
            reason = Reason(reason.kind, self.mask.text(reason.message))
        if error is not None:
            error = msgspec.structs.replace(
                error,
                message=self.mask.text(error.message),
                traceback=self.mask.text(error.traceback),
            )
        return msgspec.structs.replace(outcome, reason=reason, error=error)


def resolve_secrets(
    params: Mapping[str, Value], environment: Mapping[str, str], worker_name: str
) -> Secrets:
    """Return the secrets that `params` refer to. Blocks: a keyring may be asked.

    Parameters
    ----------
    params
        Resolved but for their secrets.
    environment
        The worker's.
    worker_name
        For messages.

    Raises
    ------
    InvalidInput
        If one of them cannot be had here, or is too short to be masked.
    """
    texts: dict[Secret, str] = {}
    for name, value in params.items():
        for secret in secrets_in(value):
            try:
                texts[secret] = _found(secret, environment)
            except InvalidInput as error:
                where = f"parameter {name!r}: the secret {secret} on worker {worker_name}"
                raise InvalidInput(f"{where} {error}") from error.__cause__
    return Secrets(texts)


def holding_secrets(params: Mapping[str, Value]) -> dict[str, Value]:
    """Return those of `params` that have a secret somewhere inside."""
    return {name: value for name, value in params.items() if any(secrets_in(value))}


def _found(secret: Secret, environment: Mapping[str, str]) -> str:
    text = environment.get(secret.name) if secret.source == "env" else _from_keyring(secret.name)
    if text is None:
        raise InvalidInput(f"does not exist. {_advice(secret)}")
    if len(text) < SHORTEST:
        raise InvalidInput(
            f"has {len(text)} characters, and one of fewer than {SHORTEST} cannot be masked in "
            f"outputs. Use a longer one, or pass it as a plain value"
        )
    return text


def _advice(secret: Secret) -> str:
    if secret.source == "env":
        return f"Set the environment variable {secret.name} where the workers are started"
    service, _, user = secret.name.rpartition("/")
    return f"Add it to the worker's keyring: keyring set {service} {user}"


def _from_keyring(name: str) -> str | None:
    try:
        # Lazy: an optional dependency, and its backends take a while to be found.
        import keyring
    except ImportError as error:
        raise InvalidInput(
            "needs the package keyring. Install it in the workers' environment: "
            "pip install nbflow[keyring]"
        ) from error
    service, _, user = name.rpartition("/")
    try:
        text: str | None = keyring.get_password(service, user)
    except Exception as error:
        # Backends are foreign code, and raise more than keyring's own errors.
        raise InvalidInput(
            f"cannot be read from the keyring ({type(error).__name__}: {error}). Unlock it, or "
            f"pass the secret in the environment"
        ) from error
    return text
