"""A YAML text as values, and the line of every part of it.

Three things differ from plain YAML. ``${node.output}`` may stand unquoted inside ``{…}``
and ``[…]``: before the text is parsed, the braces of references become two private-use characters
that do not occur in it, one for one, so that lines and columns stay true; afterwards they are put
back in every scalar. Dates stay text, as papermill reads them (``2026-01-01`` is ``"2026-01-01"``).
And a key that occurs twice in a mapping is an error, where YAML would drop the first.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from nbflow.core.errors import Problem
from nbflow.definition.faults import Fault

# Narrower than what `references` reads: a brace too many would change the YAML around it.
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_./\- ]*|(?:env|keyring):[\w./\-@]+)\}")
_PRIVATE_USE = range(0xE000, 0xF8FF)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

# The parser of libyaml is ten times faster, which a flow of thousands of nodes feels.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_QUOTE = "quote texts that have , { } [ ] inside"
_INDENT = "Check the indentation: keys of one mapping start in one column"
#: What the parser says, and what an author can do about it.
_SYNTAX_FIXES = {
    "mapping values are not allowed": "Quote a text that has ': ' inside, and check indentation",
    "could not find expected ':'": "Write 'key: value', with a space after the colon",
    "did not find expected key": _INDENT,
    "expected <block end>": _INDENT,
    "expected ',' or '}'": f"Close the mapping with }}, and {_QUOTE}",
    "expected ',' or ']'": f"Close the list with ], and {_QUOTE}",
    "unexpected end of stream": "Close the quotation marks",
    "could not determine a constructor": "Remove the tag (the word that starts with !)",
    "another document": "Keep one flow in a file, and remove the line ---",
    "unhashable key": "Use text as keys",
    "undefined alias": "A text must not start with *: quote it, or define the anchor &name",
}
_SYNTAX_FIX = "Check indentation, quotes and brackets at this line and the one before"


class _Loader(_SafeLoader):  # type: ignore[misc, valid-type]  # chosen at run time
    """The safe loader, without dates."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class YamlSource:
    """One YAML document: its `value`, and `where` each part of it stands.

    Parameters
    ----------
    text
        The document.
    file
        The file's name, for places.

    Raises
    ------
    SyntaxFault
        If it is no YAML, or has a key twice.
    """

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._keys: dict[int, dict[Any, tuple[yaml.Node, yaml.Node]]] = {}
        opening, closing = _unused_characters(text)
        self.value: Any = None
        try:
            self._loader = _Loader(_REFERENCE.sub(rf"${opening}\1{closing}", text))
            self._root: yaml.Node | None = self._loader.get_single_node()
            if self._root is not None:
                _put_back(self._root, {ord(opening): "{", ord(closing): "}"})
                _refuse_repeated_keys(self._root, file)
                self.value = self._loader.construct_document(self._root)
        except yaml.YAMLError as error:
            raise _syntax_fault(error, text, file) from error

    def where(self, *path: Any) -> str:
        """Return ``file:line`` of the part at `path`, or of the nearest part around it."""
        line = 1 if self._root is None else self._root.start_mark.line + 1
        node = self._root
        for step in path:
            if isinstance(node, yaml.MappingNode) and step in self._entries(node):
                key, node = self._entries(node)[step]
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return f"{self._file}:{line}"

    def _entries(self, mapping: yaml.MappingNode) -> dict[Any, tuple[yaml.Node, yaml.Node]]:
        """Return a mapping's entries by their keys' values; indexed once, flows are long."""
        if id(mapping) not in self._keys:
            # After construction, merged keys (<<) stand before the mapping's own, which win.
            self._keys[id(mapping)] = {
                self._loader.construct_object(key): (key, value)
                for key, value in mapping.value
                if isinstance(key, yaml.ScalarNode)
            }
        return self._keys[id(mapping)]


class SyntaxFault(Fault):
    """A fault of a text, whose place is known: `problem` has it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what, problem.fix)
        self.problem = problem


def _unused_characters(text: str) -> tuple[str, str]:
    """Return two private-use characters that `text` does not have."""
    used = set(text)
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
    return next(free), next(free)


def _all_nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield every node once, though aliases may lead to it many times."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            stack.extend(part for pair in node.value for part in pair)


def _put_back(root: yaml.Node, braces: dict[int, str]) -> None:
    for node in _all_nodes(root):
        if isinstance(node, yaml.ScalarNode):
            node.value = node.value.translate(braces)


def _refuse_repeated_keys(root: yaml.Node, file: str) -> None:
    for node in _all_nodes(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        first: dict[tuple[str, str], int] = {}
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (key.tag, key.value) in first:
                raise SyntaxFault(
                    Problem(
                        place=f"{file}:{line}",
                        what=f"the key {key.value!r} stands here and at line "
                        f"{first[key.tag, key.value]} already",
                        fix="Rename or remove one of them",
                    )
                )
            first[key.tag, key.value] = line


def _syntax_fault(error: yaml.YAMLError, text: str, file: str) -> SyntaxFault:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(int(error.character))!r} is not allowed in YAML"
        return SyntaxFault(Problem(f"{file}:{line}", what, "Remove it"))
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark is not None else 1
    said = getattr(error, "problem", None) or str(error)
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        what, fix = "a tab cannot indent in YAML", "Use spaces"
    else:
        what = f"this is not valid YAML: {_context(error, line)}{said}"
        fix = next((fix for part, fix in _SYNTAX_FIXES.items() if part in said), _SYNTAX_FIX)
    return SyntaxFault(Problem(f"{file}:{line}", what, fix))


def _context(error: yaml.YAMLError, line: int) -> str:
    """Say what the parser was reading, and from which line if that is another one."""
    context = getattr(error, "context", None)
    if not context:
        return ""
    mark = getattr(error, "context_mark", None)
    begun = f" that begins at line {mark.line + 1}" if mark and mark.line + 1 != line else ""
    return f"{context}{begun}: "


def text_of(data: bytes, file: str) -> str:
    """Return the text of a YAML file.

    Raises
    ------
    SyntaxFault
        If it is not UTF-8, or has nothing in it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SyntaxFault(
            Problem(f"{file}:{line}", "the file is not text in UTF-8", "Save it in UTF-8")
        ) from error
    if not text.strip():
        raise SyntaxFault(
            Problem(file, "the file is empty", "Write at least 'flow: NAME' and 'nodes:'")
        )
    return text
