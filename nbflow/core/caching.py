"""Whether the result of a node can be found again by what it was made of, and for how long."""

from collections.abc import Mapping

from nbflow.core.fingerprints import digest
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.core.spec import NodeSpec
from nbflow.core.values import FromParam, Value, references, secrets_in


def uncacheable(node: NodeSpec, params: Mapping[str, Value]) -> tuple[str, ...]:
    """Return why no other run's result may stand for the node's, a sentence each; empty if it may.

    What cannot be told apart must not be taken for the same.

    Parameters
    ----------
    node
        The node.
    params
        All parameters of the run.
    """
    reasons = list(node.identity.unknown)
    if _receives_secret(node, params):
        reasons.append("it receives a secret, whose value only workers know")
    if node.policy.effect == "at_most_once":
        reasons.append("it is declared at most once: it has effects that a cache would leave out")
    return tuple(reasons)


def is_good(result: Result, policy: Cache, *, now: float) -> bool:
    """Whether a result is still good under `policy` at `now` (seconds since the epoch).

    How much of the jitter counts comes from the key: all who ask agree, and results that were made
    together end at different times.

    A result that seems to come from the future was stamped by another machine's clock, or by
    this one before it was set back. It is taken to be as old as it is ahead. So it is good for
    twice its time at most, and one that is far ahead is made again.
    """
    if policy.ttl is None:
        return True
    lifetime_s = policy.ttl * (1 - policy.jitter * _share(result.key))
    return abs(now - result.at) < lifetime_s


def _receives_secret(node: NodeSpec, params: Mapping[str, Value]) -> bool:
    received = list(node.params.values())
    named = (reference for binding in received for reference in references(binding))
    received += [params[it.name] for it in named if isinstance(it, FromParam) and it.name in params]
    return any(True for value in received for _ in secrets_in(value))


def _share(key: str) -> float:
    """Return a number from 0 up to, but not including, 1: always the same for a key."""
    drawn = digest(b"jitter", key.encode())
    return int(drawn[:8], 16) / 16**8
