import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from nbflow import __version__
from nbflow.cli.commands import COMMANDS, root

#: What help must not wait for.
HEAVY = (
    "asyncio",
    "distributed",
    "dask",
    "sqlalchemy",
    "pydantic",
    "rich",
    "papermill",
    "nbformat",
)

_LOOK = """
import resource, sys
from nbflow.cli import main
code = main(sys.argv[1:])
print(*sorted(sys.modules), file=sys.stderr)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "-h"] for name in COMMANDS)])
def test_help_is_quick_and_imports_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, *words], capture_output=True, text=True, check=True
    )
    modules, cpu_s = done.stderr.splitlines()
    assert set(modules.split()).isdisjoint(HEAVY)
    assert float(cpu_s) < 0.3
    assert done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_short_help_and_an_example(name):
    command = root.get_command(None, name)
    assert command.get_short_help_str(200) == COMMANDS[name][1]
    shown = CliRunner().invoke(root, [name, "--help"]).output
    assert f"nbflow {name}" in shown.partition("Example")[2]


def test_every_option_says_what_it_does():
    for name in COMMANDS:
        command = root.get_command(None, name)
        options = [param for param in command.params if isinstance(param, click.Option)]
        silent = [option.name for option in options if not option.help]
        assert silent == [], name


def test_the_program_lists_all_commands_and_knows_its_version():
    runner = CliRunner()
    text = runner.invoke(root, ["--help"]).output
    assert [line.split()[0] for line in _section(text, "Commands:")] == list(COMMANDS)
    assert runner.invoke(root, ["--version"]).output == f"nbflow, version {__version__}\n"


def _section(text, title):
    return text.partition(title)[2].partition("\n\n")[0].strip("\n").splitlines()


def test_a_misspelt_command_is_bad_usage_with_a_hint(nbflow):
    called = nbflow("rnu", "flow.yaml")
    assert called.code == 2
    assert "there is no command 'rnu'. Did you mean 'run'?" in called.err


def test_no_command_at_all_shows_the_help(nbflow):
    called = nbflow()
    assert called.code == 2
    assert "Commands:" in called.err
