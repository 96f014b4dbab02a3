"""Which cells are to be stages, and which of them go first. The answer is always the same."""

import dataclasses
import random
import re
from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec

from nbflow.core.cells.staging import ALWAYS, Worth
from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.definition.preparation import Prepared
from nbflow.definition.staged import CellsAsked
from nbflow.session.flow import Flow

_FORM = re.compile(r"(?P<kind>worth|all)|random:(?P<seed>\d+)")
#: Cells for which chance decides whether they begin a stage, and how often they do.
_CELLS, _HEADS = 10_000, 0.5
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

    @property
    def worth(self) -> Worth | None:
        """Which cells are worth a kernel; None leaves it to how long they take."""
        match self.kind:
            case "worth":
                return None
            case "all":
                return ALWAYS
        chance = random.Random(self.seed)
        return Worth(heads=frozenset(n for n in range(_CELLS) if chance.random() < _HEADS))


class ScheduledFlow(Flow):
    """A flow whose stages are as a schedule wants them; without one it is any flow."""

    schedule: Schedule | None = None

    def prepare(self, given: Mapping[str, Any] | None = None, **options: Any) -> Prepared:
        """Return all that a run needs, its stages as the schedule wants them."""
        schedule = self.schedule
        if schedule is None:
            return super().prepare(given, **options)
        asked = options.get("cells") or CellsAsked()
        options["cells"] = dataclasses.replace(asked, worth=schedule.worth)
        prepared = super().prepare(given, **options)
        return dataclasses.replace(prepared, spec=schedule.ordered(prepared.spec))


def _prior(node: NodeSpec, rank: int | None, count: int) -> NodeSpec:
    """Return a stage with a higher priority the higher it ranks."""
    if rank is None:
        return node
    priority = node.policy.priority + _SPREAD * (2 * rank - count) // max(1, count)
    return msgspec.structs.replace(
        node, policy=msgspec.structs.replace(node.policy, priority=priority)
    )
