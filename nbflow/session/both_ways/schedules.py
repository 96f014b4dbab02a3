"""Which cells are to be stages, and which stages go first: whatever is chosen, the answer is one.

What cells are worth depends on how long they take. So a choice is made by pretending: where every
cell takes an hour, whatever can run by itself does; where only some do, these do.
"""

import dataclasses
import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import msgspec

from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.definition.preparation import Prepared
from nbflow.definition.staged import CellsAsked, LearnedCells
from nbflow.session.flow import Flow

_FORM = re.compile(r"(?P<kind>worth|all)|random:(?P<seed>\d+)")
#: What a cell is said to take that shall be a stage: far more than any kernel costs.
_LONG_S = 3600.0
#: Priorities of stages are in this range around that of their notebook.
_SPREAD = 50


class Schedule(msgspec.Struct, frozen=True):
    """One way to cut a notebook into stages, and to order them.

    Parameters
    ----------
    kind
        ``worth``: as any run would. ``all``: every stage that can be one, the last ones first where
        there is a choice. ``random``: some of them, in some order.
    seed
        Chooses, if it is random.
    """

    kind: Literal["worth", "all", "random"]
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the schedule that `str` would write so.

        Raises
        ------
        ValueError
            If there is none.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is none of worth, all, random:SEED")
        if match["kind"]:
            return cls(match["kind"])  # type: ignore[arg-type]
        return cls("random", int(match["seed"]))

    def __str__(self) -> str:
        return f"random:{self.seed}" if self.kind == "random" else self.kind

    def ordered(self, spec: FlowSpec) -> FlowSpec:
        """Return the flow with the priorities of its stages as this schedule wants them."""
        if self.kind == "worth":
            return spec
        stages = [node.name for node in spec.nodes if node.is_stage]
        ranks = list(range(len(stages)))
        if self.kind == "random":
            random.Random(self.seed).shuffle(ranks)
        rank = dict(zip(stages, ranks, strict=True))
        nodes = tuple(_prior(node, rank.get(node.name), len(stages)) for node in spec.nodes)
        return msgspec.structs.replace(spec, nodes=nodes)

    def pretended(self, digest: str) -> float:
        """Return how long the cell of that digest is said to take."""
        if self.kind == "all":
            return _LONG_S
        mark = hashlib.sha256(f"{self.seed} {digest}".encode()).digest()
        return _LONG_S if mark[0] % 2 else 0.0


class ScheduledFlow(Flow):
    """A flow whose stages are as a schedule wants them; without one it is any flow."""

    schedule: Schedule | None = None

    def prepare(self, given: Mapping[str, Any] | None = None, **options: Any) -> Prepared:
        """Return all that a run needs, its stages as the schedule wants them."""
        schedule = self.schedule
        if schedule is None:
            return super().prepare(given, **options)
        if schedule.kind != "worth":
            asked = options.get("cells") or CellsAsked()
            learned = LearnedCells(seconds=_Pretended(schedule))
            options["cells"] = dataclasses.replace(asked, learn=lambda _path: learned)
        prepared = super().prepare(given, **options)
        return dataclasses.replace(prepared, spec=schedule.ordered(prepared.spec))


class _Pretended(Mapping[str, float]):
    """How long cells are said to take, by digest: something for every digest there is."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __getitem__(self, digest: str) -> float:
        return self._schedule.pretended(digest)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _prior(node: NodeSpec, rank: int | None, count: int) -> NodeSpec:
    """Return a stage with a higher priority the higher it ranks."""
    if rank is None:
        return node
    priority = node.policy.priority + _SPREAD * (2 * rank - count) // max(1, count)
    return msgspec.structs.replace(
        node, policy=msgspec.structs.replace(node.policy, priority=priority)
    )
