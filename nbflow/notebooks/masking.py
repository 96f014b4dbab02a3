"""Mask secrets in what people will read: outputs, logs, messages.

A secret is looked for in the forms in which programs commonly show a text: as it is, as a literal
of Python or JSON, quoted for HTML or a URL, in base64 (also within a longer text, such as
``user:password``), and, if it has several lines, each of them by itself. What a program makes of a
secret beyond that (its half, its reverse, a picture of it) cannot be found.

All forms are alternatives of one regular expression, the longest first, so that a form that
contains another one wins, and masking costs one pass over the text. A mask without secrets costs
nothing.
"""

import base64
import html
import json
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

#: What stands where a secret stood.
MASKED = "***"
#: Shorter secrets, in characters, are not looked for: they would be found everywhere.
SHORTEST = 4
#: The same of parts and encodings of a secret, which are more likely to be something else.
_SHORTEST_PART = 8


class Mask:
    """Hides secrets in texts.

    Parameters
    ----------
    secrets
        Their texts; as a mapping, each with the name by which `leak` tells it.
    """

    def __init__(self, secrets: Iterable[str] | Mapping[str, str] = ()) -> None:
        named = secrets if isinstance(secrets, Mapping) else dict.fromkeys(secrets, "a secret")
        names = {secret: name for secret, name in named.items() if len(secret) >= SHORTEST}
        forms = {form for secret in names for form in _forms(secret)}
        self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))
        self._pattern = re.compile("|".join(map(re.escape, self._forms))) if forms else None
        self._leaks = [(name, _bytes_pattern(secret)) for secret, name in names.items()]

    def __repr__(self) -> str:
        return f"<Mask of {len(self._leaks)} secrets>"

    @property
    def active(self) -> bool:
        """Whether there is anything to hide."""
        return self._pattern is not None

    @property
    def longest(self) -> int:
        """Characters of the longest form of a secret; 0 if there is none."""
        return len(self._forms[0]) if self._forms else 0

    def text(self, text: str) -> str:
        """Return `text` with every secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASKED, text)

    def content(self, value: Any) -> Any:
        """Return a JSON-like `value` with every text in it masked, keys too.

        It is the same object where there is nothing to mask, and is never changed itself.
        """
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            masked = {self.content(key): self.content(item) for key, item in value.items()}
            same = all(
                key is other and value[key] is masked[other]
                for key, other in zip(value, masked, strict=False)
            )
            return value if same and len(masked) == len(value) else type(value)(masked)
        if isinstance(value, (list, tuple)):
            items = [self.content(item) for item in value]
            same = all(item is other for item, other in zip(value, items, strict=True))
            return value if same else type(value)(items)
        return value

    def stream(self) -> "MaskedStream":
        """Return a mask for a text that arrives in pieces."""
        return MaskedStream(self._pattern, self._forms)

    def leak(self, data: "bytes | bytearray | memoryview | mmap.mmap") -> str | None:
        """Return the name of a secret that stands in `data` in any common encoding, or None."""
        found = (name for name, pattern in self._leaks if pattern.search(data))
        return next(found, None)

    def leak_in_file(self, path: Path) -> str | None:
        """Return the name of a secret that stands in a file, or None; in constant memory."""
        if not self.active or path.stat().st_size == 0:
            return None
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return self.leak(data)


#: A mask that hides nothing.
NO_SECRETS = Mask()


class MaskedStream:
    """Masks a text piece by piece.

    It holds back what may be the beginning of a secret, and no more than that: a
    secret that is printed one character at a time is found, and all else goes on at once.
    """

    def __init__(self, pattern: re.Pattern[str] | None, forms: tuple[str, ...]) -> None:
        self._pattern = pattern
        self._forms = forms
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece, and return what can be shown by now."""
        if self._pattern is None:
            return piece
        text = self._held + piece
        cut = self._first_beginning(text)
        for match in self._pattern.finditer(text):
            if match.end() > cut:
                # A secret lies across the cut, such as one line of a longer secret. It stays whole.
                cut = min(cut, match.start())
                break
        self._held = text[cut:]
        return self._pattern.sub(MASKED, text[:cut])

    def rest(self) -> str:
        """Return what is held back, masked: nothing more will come."""
        held, self._held = self._held, ""
        return held if self._pattern is None else self._pattern.sub(MASKED, held)

    def _first_beginning(self, text: str) -> int:
        """Return where the unfinished beginning of a form starts, or the text's length."""
        first = len(text)
        for form in self._forms:
            at = text.find(form[0], max(0, len(text) - len(form) + 1), first)
            while at != -1 and not form.startswith(text[at:]):
                at = text.find(form[0], at + 1, first)
            first = first if at == -1 else at
        return first


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms of `secret` that are looked for."""
    yield from _forms_of_text(secret)
    for line in secret.splitlines():
        if len(line.strip()) >= _SHORTEST_PART:
            yield from _forms_of_text(line.strip())


def _forms_of_text(text: str) -> Iterator[str]:
    data = text.encode(errors="replace")
    yield text
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(data)[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield quote(data)
    yield quote(data, safe="")
    yield quote_plus(data)
    for code in _base64(data):
        if len(code) >= _SHORTEST_PART:
            yield code
            yield code.translate(_URL_SAFE)


def _base64(data: bytes) -> Iterator[str]:
    """Yield what all base64 texts that hold `data` have in common, at each of three alignments."""
    yield base64.b64encode(data).decode()
    for offset in range(3):
        code = base64.b64encode(bytes(offset) + data).decode()
        # Characters at both ends also hold bits of what stands before and behind.
        yield code[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


_URL_SAFE = str.maketrans("+/", "-_")


def _bytes_pattern(secret: str) -> re.Pattern[bytes]:
    """Return what finds `secret` in bytes: every form in UTF-8, and itself as arrays hold text."""
    encoded = {form.encode(errors="replace") for form in _forms(secret)}
    encoded |= {secret.encode(code, errors="replace") for code in ("utf-16-le", "utf-32-le")}
    return re.compile(b"|".join(re.escape(form) for form in sorted(encoded, key=len, reverse=True)))
