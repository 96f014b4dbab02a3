"""``home.toml``: where a home's journal and artifacts are, if not in its folder.

.. code-block:: toml

    journal = "postgresql://ada:${env:NBFLOW_PASSWORD}@db.example.org/nbflow"
    artifacts = "s3://team/nbflow"

What is no URL is a path, from the home's folder. ``${env:NAME}`` stands for a variable of the
environment, so that the file can be shared: no password needs to be in it.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nbflow.core.errors import JournalError

#: Name of the file.
NAME = "home.toml"

#: Name of the journal, unless the file says otherwise.
JOURNAL = "journal.sqlite"

#: Name of the folder of the artifacts, unless the file says otherwise.
ARTIFACTS = "artifacts"

_KEYS = {"journal": JOURNAL, "artifacts": ARTIFACTS}

#: A reference, with the signs around it between which a URL has its password.
_REFERENCE = re.compile(r"(?P<colon>:)?\$\{(?P<what>[^}]*)\}(?P<at>(?=@))?")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of a home are: absolute paths, or URLs, which may hold passwords."""

    journal: str | Path
    artifacts: str | Path


def read(folder: Path, environ: Mapping[str, str]) -> Places:
    """Return where the parts of the home in `folder` are.

    Parameters
    ----------
    folder
        The home's folder.
    environ
        Variables that the file may refer to.

    Raises
    ------
    JournalError
        If the file is faulty; the message names file, key, and what to do.
    """
    file = folder / NAME
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError:
        content = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JournalError(f"{file} is not TOML: {error}. Mend the line, or remove it") from error
    except OSError as error:
        raise JournalError(f"{file} cannot be read: {error.strerror}. Make it readable") from error
    for key in content:
        if key not in _KEYS:
            raise JournalError(f"{file}: there is no key {key!r}. Use {' or '.join(_KEYS)}")
    places = {key: _place(file, key, content.get(key, own), environ) for key, own in _KEYS.items()}
    return Places(**places)


def _place(file: Path, key: str, value: object, environ: Mapping[str, str]) -> str | Path:
    if not isinstance(value, str) or not value:
        raise JournalError(f"{file}: {key} is {value!r}. Give it a URL or a path, in quotes")
    filled = _REFERENCE.sub(lambda reference: _filled(file, key, reference, environ), value)
    return filled if "://" in filled else file.parent / filled


def _filled(file: Path, key: str, reference: re.Match[str], environ: Mapping[str, str]) -> str:
    source, _, name = reference["what"].partition(":")
    if source != "env" or not name:
        raise JournalError(
            f"{file}: {key} has {reference['what']!r} in braces. Write ${{env:NAME}} for a "
            "variable of the environment"
        )
    text = environ.get(name)
    if not text:
        raise JournalError(
            f"{file}: {key} needs the variable {name}, which is not set. Set it in the environment"
        )
    # A password may have any character, an address may not.
    is_password = reference["colon"] is not None and reference["at"] is not None
    return (reference["colon"] or "") + (quote(text, safe="") if is_password else text)
