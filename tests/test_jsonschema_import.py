"""jsonschema is imported without its grammar, and can still do what it could."""

import subprocess
import sys

import pytest


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    "module",
    [
        "nbflow.notebooks.reading",
        "nbflow.worker.notebook",
        "nbflow.session.results",
        "nbflow.session.preparing",
        "nbflow.definition.notebook_file",
    ],
)
def test_reading_notebooks_does_not_parse_the_grammar_of_addresses(module: str) -> None:
    run(
        f"import sys, {module}\n"
        "import nbformat\n"
        "assert 'nbformat' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith(('rfc3987_syntax.', 'lark'))]"
    )


def test_a_check_that_needs_the_grammar_gets_it() -> None:
    run(
        "from nbflow._jsonschema import defer_grammar\n"
        "defer_grammar()\n"
        "import jsonschema, sys\n"
        "checker = jsonschema.Draft202012Validator.FORMAT_CHECKER\n"
        "assert checker.conforms('http://ex\\u00e4mple.org/\\u00fc', 'iri')\n"
        "assert not checker.conforms('http://[not', 'iri')\n"
    )


def test_what_was_imported_before_is_left_alone() -> None:
    run(
        "import rfc3987_syntax\n"
        "from nbflow._jsonschema import defer_grammar\n"
        "defer_grammar()\n"
        "import sys\n"
        "assert sys.modules['rfc3987_syntax'] is rfc3987_syntax\n"
    )
