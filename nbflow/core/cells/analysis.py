"""Follow a notebook from top to bottom, and say which cells depend on which.

The cells are followed as they would run, with values of which only type and place are known
(see `values`). `memory` keeps who wrote and who shares what; `expressions`, `statements`
and `calls` follow the code; the tables in `effects` say what libraries do; `outside` orders
what is no variable. Whatever cannot be known is taken for the worst.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from nbflow.core.cells.effects.language import Touch
from nbflow.core.cells.facts import (
    Analysis,
    CellFacts,
    CellText,
    Dependence,
    NameUse,
    Pieces,
    Reason,
    TouchUse,
)
from nbflow.core.cells.ledger import Page
from nbflow.core.cells.memory import Memory, TooEntangled
from nbflow.core.cells.outside import Outside
from nbflow.core.cells.repeating import Repeatable, Repeating
from nbflow.core.cells.statements import Statements
from nbflow.core.cells.tags import Declared, declared
from nbflow.core.cells.values import Act, Frame, Value, name_of, reach
from nbflow.core.cells.wording import Wording, line_of

#: Tags of cells whose variables a run may give other values.
_PARAMETERS = frozenset({"parameters", "injected-parameters"})
#: nbclient's tag of cells that may fail.
_MAY_FAIL = "raises-exception"
_MAIN = ast.Module([], [])


def analyze(cells: Sequence[CellText]) -> Analysis:
    """Return what the cells of a Python notebook do, and how they depend on each other.

    Parameters
    ----------
    cells
        The cells in order, with ascending numbers.
    """
    kept: frozenset[tuple[int, str]] = frozenset()
    while True:
        notebook = _Notebook(cells, kept)
        found = notebook.followed()
        # Who may leave a variable as it was needs it only if somebody reads it afterwards.
        if notebook.found_kept <= kept:
            return found
        kept |= notebook.found_kept


class _Notebook:
    """One analysis."""

    def __init__(self, cells: Sequence[CellText], kept: frozenset[tuple[int, str]]) -> None:
        self._cells = cells
        self._memory = Memory(kept)
        self._statements = Statements(self._memory)
        self._outside = Outside()
        self._wording = Wording({cell.number: cell for cell in cells})
        #: The last barrier, why it is one, and the cells since.
        self._barrier: tuple[str, Act] | None = None
        self._since: list[int] = []
        #: What the cells before set that each kernel repeats.
        self._settings: dict[int, tuple[str, Act]] = {}
        self._numbers_of_tag: dict[str, list[int]] = {}
        #: Cells that kernels repeat, or a part of them.
        self._repeated: set[int] = set()

    @property
    def found_kept(self) -> set[tuple[int, str]]:
        """Variables that a cell may leave as they were, and that somebody reads afterwards."""
        return self._memory.found_kept

    def followed(self) -> Analysis:
        facts: list[CellFacts] = []
        found: list[Dependence] = []
        for cell in self._cells:
            page, repeatable = self._follow(cell)
            found += self._wording.dependences(page)
            facts.append(self._facts(cell, page, repeatable))
        read = {each.name for each in found if each.kind == "data"}
        local = [tuple(use.name for use in cell.writes if use.name not in read) for cell in facts]
        cells = tuple(_with_local(cell, names) for cell, names in zip(facts, local, strict=True))
        return Analysis(cells, tuple(found))

    def _follow(self, cell: CellText) -> tuple[Page, Repeatable]:
        said = declared(cell.tags)
        page = self._memory.turn_to(cell.number, pure=said.pure)
        self._statements.calls.turn_to_next_cell()
        if self._statements.calls.library.left_running:
            page.stop(
                "work that an earlier cell has left running goes on",
                Act(cell.number, "stops"),
                "background",
                "lasting",
            )
        # Such a cell may stop anywhere, and the notebook goes on.
        stops = _MAY_FAIL in cell.tags
        self._memory.globals.weak = int(stops)
        repeatable = self._follow_text(cell, page)
        self._memory.globals.weak = 0
        if cell.captures:
            value = Value("", frozenset({self._memory.region(_MAIN)}))
            self._memory.bind(self._memory.globals, cell.captures, value, _MAIN)
        if cell.unsure:
            page.unsure[cell.unsure] = Act(cell.number, "uses")
        if _PARAMETERS & set(cell.tags):
            self._forget_parameters(page)
        self._obey(cell, said, page)
        if cell.captures or stops or page.barriers:
            repeatable = Repeatable()
        # What each kernel repeats must need nothing that only one of them has.
        needed = {source for source, _, _ in page.edges}
        whole = repeatable.whole and needed <= self._repeated
        repeatable = Repeatable(whole, None if whole else repeatable.part)
        if whole or repeatable.part:
            self._repeated.add(cell.number)
        if whole:
            self._memory.replay(page.writes)
        self._order(cell, page, repeatable)
        return page, repeatable

    # --- the text -----------------------------------------------------------------------------

    def _follow_text(self, cell: CellText, page: Page) -> Repeatable:
        """Follow a cell's text; return what of it kernels may repeat for themselves."""
        try:
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            tree = compile(cell.text, "<cell>", "exec", flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            words = getattr(error, "msg", None) or str(error) or type(error).__name__
            where = ast.Pass(lineno=getattr(error, "lineno", None) or 1, col_offset=0)
            page.stop(
                f"it is not valid Python ({words}): the run fails here",
                Act(cell.number, "stops", where),
            )
            return Repeatable()
        assert isinstance(tree, ast.Module)
        try:
            if cell.local:
                self._follow_locally(tree)
                return Repeatable()
            repeating = Repeating(
                self._memory, self._repeated, constants=_PARAMETERS.isdisjoint(cell.tags)
            )
            for statement in tree.body:
                with repeating.statement(statement):
                    self._statements.top_level(statement)
            return repeating.found()
        except (TooEntangled, RecursionError):
            self._statements.expressions.frame = self._memory.globals
            self._memory.calls.clear()
            self._statements.calls.turn_to_next_cell()
            self._memory.globals.weak = 0
            self._memory.globals.blocks.clear()
            act = Act(cell.number, "stops")
            page.stop("its calls are too entangled to be followed", act, "anything")
            self._memory.forget(tree)
            return Repeatable()

    def _follow_locally(self, tree: ast.Module) -> None:
        """Follow what runs in a function of its own, as the body of ``%%timeit``."""
        expressions = self._statements.expressions
        expressions.frame = Frame("class", None, self._memory.globals)
        self._statements.run(tree.body)
        expressions.frame = self._memory.globals

    def _forget_parameters(self, page: Page) -> None:
        for name in page.writes:
            binding = self._memory.globals.names.get(name)
            if binding is not None and binding.value is not None and not binding.replayed:
                region = self._memory.region(ast.Pass())
                region.names[name] = None
                unknown = Value("", frozenset({region}))
                self._memory.globals.names[name] = replace(binding, value=unknown)

    # --- tags ---------------------------------------------------------------------------------

    def _obey(self, cell: CellText, said: Declared, page: Page) -> None:
        whole = Act(cell.number, "uses")
        if said.barrier:
            page.stop("it is tagged nbflow:barrier", Act(cell.number, "stops"), "lasting")
        for name in (*said.reads, *said.writes):
            value = self._memory.load_global(name, _MAIN)
            if name in said.writes:
                kept = value or Value("")
                self._memory.change_all(kept, _MAIN, name)
                new = Value("", kept.regions | {self._memory.region(_MAIN)})
                self._memory.bind(self._memory.globals, name, new, _MAIN)
        if said.files:
            for touch in [each for each in page.touches if each.kind == "file"]:
                del page.touches[touch]
            page.touches.update(dict.fromkeys(said.files, whole))
        for name in said.after:
            numbers = [int(name)] if name.isdecimal() else self._numbers_of_tag.get(name, [])
            earlier = {each: Act(each, "uses") for each in numbers if 0 < each < cell.number}
            page.depend(earlier, whole, f"its tag nbflow:after={name}", "order")
        for tag in cell.tags:
            self._numbers_of_tag.setdefault(tag, []).append(cell.number)

    # --- order --------------------------------------------------------------------------------

    def _order(self, cell: CellText, page: Page, repeatable: Repeatable) -> None:
        """Find the dependences that are not those of variables."""
        settings = {t: act for t, act in page.touches.items() if t.kind == "setting" and t.write}
        for setting, (name, act) in self._settings.items():
            page.depend({setting: act}, Act(cell.number, "uses"), name, "replay")
        if settings and (repeatable.whole or repeatable.part):
            self._settings[cell.number] = _first(settings)
        elif settings:
            name, act = _first(settings)
            page.stop(f"it sets {name} beside other work", act, "lasting")
        for touch, act in page.touches.items():
            self._outside.touch(page, touch, act, replayed=repeatable.whole)
        self._bar(cell, page)

    def _bar(self, cell: CellText, page: Page) -> None:
        if self._barrier is not None:
            why, act = self._barrier
            page.depend({act.cell: _stops(act)}, Act(cell.number, "uses"), why, "order")
        if page.barriers:
            why, act = next(iter(page.barriers.items()))
            before = {number: Act(number, "uses") for number in self._since}
            page.depend(before, _stops(act), why, "order")
            self._barrier, self._since = (why, act), []
        else:
            self._since.append(cell.number)

    # --- facts --------------------------------------------------------------------------------

    def _facts(self, cell: CellText, page: Page, repeatable: Repeatable) -> CellFacts:
        world = {
            touch.name or "it calls code that is not known": act
            for touch, act in page.touches.items()
            if touch.kind == "world"
        }
        lines = (line.strip() for line in (cell.source or cell.text).splitlines())
        return CellFacts(
            number=cell.number,
            index=cell.index,
            first_line=next((line for line in lines if line), ""),
            reads=self._uses(page.reads),
            writes=self._uses(page.writes),
            changes=self._changed_names(page),
            deletes=self._uses(page.deletes),
            touches=tuple(
                TouchUse(touch, line_of(act), self._wording.code(act))
                for touch, act in page.touches.items()
            ),
            barriers=tuple(Reason(line_of(act), why) for why, act in page.barriers.items()),
            unsure=tuple(
                Reason(line_of(act), words) for words, act in {**page.unsure, **world}.items()
            ),
            replayed=repeatable.whole,
            part=repeatable.part,
            needs=tuple(page.needs),
            traits=tuple(page.traits),
            pieces=self._pieces(page),
        )

    def _pieces(self, page: Page) -> Pieces:
        names = self._memory.globals.names
        bound = {name: names[name].value for name in page.writes if name in names}
        anything = self._memory.anything
        return Pieces(
            first=page.first,
            binds=tuple(
                (name, tuple(region.serial for region in value.regions))
                for name, value in bound.items()
                if value is not None
            ),
            gone=tuple(
                name
                for name in {**page.writes, **page.deletes}
                if name not in names or names[name].value is None
            ),
            holds=tuple((region.serial, other.serial) for region, other in page.holds),
            changes=tuple(region.serial for region in page.changed),
            stay=tuple(region.serial for region in page.stay),
            classes=tuple(region.serial for region in page.classes),
            imports=tuple(
                (name, value.dotted)
                for name, value in bound.items()
                if value is not None and value.dotted and names[name].replayed
            ),
            everything=0 if anything is None else anything.serial,
        )

    def _uses(self, acts: Mapping[str, Act]) -> tuple[NameUse, ...]:
        return tuple(
            NameUse(name, line_of(act), self._wording.code(act)) for name, act in acts.items()
        )

    def _changed_names(self, page: Page) -> tuple[NameUse, ...]:
        """Return the variables whose values were changed, by all names that they have."""
        found: dict[str, Act] = {}
        for region, act in page.changed.items():
            for name in region.names or {name_of(region): None}:
                binding = self._memory.globals.names.get(name)
                if binding is None or binding.value is None or name in found:
                    continue
                if region in reach(binding.value.regions) and page.cell not in binding.made:
                    found[name] = act
        return self._uses(found)


def _first(settings: Mapping[Touch, Act]) -> tuple[str, Act]:
    touch, act = next(iter(settings.items()))
    return touch.name or "settings", act


def _stops(act: Act) -> Act:
    return Act(act.cell, "stops", act.node, act.via)


def _with_local(cell: CellFacts, names: Iterable[str]) -> CellFacts:
    return msgspec.structs.replace(cell, local=tuple(names))
