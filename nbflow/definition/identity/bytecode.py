"""What a code object is and uses, read off its instructions."""

import dis
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nbflow.core.fingerprints import digest
from nbflow.definition.identity.scanning import Import
from nbflow.definition.identity.values import Encoder

_READS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A code object, with those inside of it."""

    #: Digest of all that decides what it does; not its name, lines and file.
    token: bytes
    #: Names of the global variables that it reads, sorted.
    variables: tuple[str, ...]
    #: All other names in it: attributes, modules.
    names: tuple[str, ...]
    imports: tuple[Import, ...]

    def absolute_imports(self, package: str) -> Iterator[Import]:
        """Yield its imports as seen from the package of its module."""
        for wanted in self.imports:
            if not wanted.level:
                yield wanted
                continue
            around = package.split(".")[: len(package.split(".")) - wanted.level + 1]
            module = ".".join(filter(None, [*around, wanted.module]))
            if around and module:
                yield Import(module, wanted.names, optional=wanted.optional)


class CodeReader:
    """Reads code objects, each once: functions that are made in a loop share theirs."""

    def __init__(self) -> None:
        # By identity: code that is equal may still lie in another place.
        self._known: dict[int, tuple[types.CodeType, Reading]] = {}

    def read(self, code: types.CodeType) -> Reading:
        """Return what `code` is and uses."""
        known = self._known.get(id(code))
        if known is None:
            known = (code, self._read(code))
            self._known[id(code)] = known
        return known[1]

    def _read(self, code: types.CodeType) -> Reading:
        inner = [self.read(it) for it in code.co_consts if isinstance(it, types.CodeType)]
        constants = [it for it in code.co_consts if not isinstance(it, types.CodeType)]
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        encoder = Encoder(_no_reference)
        token = digest(
            code.co_code,
            code.co_exceptiontable,
            encoder.encode((shape, names, constants)),
            *(it.token for it in inner),
        )
        instructions = list(dis.get_instructions(code))
        reads = {it.argval for it in instructions if it.opname in _READS_GLOBAL}
        return Reading(
            token.encode(),
            _merged(reads, (it.variables for it in inner)),
            _merged(code.co_names, (it.names for it in inner)),
            (*_imports(instructions), *(wanted for it in inner for wanted in it.imports)),
        )


def _imports(instructions: list[dis.Instruction]) -> Iterator[Import]:
    for at, instruction in enumerate(instructions):
        if instruction.opname == "IMPORT_NAME":
            # Before it stand how many dots there are, and the names to import.
            level, names = instructions[at - 2].argval, instructions[at - 1].argval
            yield Import(instruction.argval, tuple(names or ()), int(level or 0))


def _merged(own: Iterable[str], others: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({*own, *(name for names in others for name in names)}))


def _no_reference(_value: object) -> None:
    return None
