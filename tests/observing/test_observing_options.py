"""The options are variables of this command, and say at once what they lack."""

import importlib.util
import logging
import os

import click
import pytest
from click.testing import CliRunner

from nbflow.cli.observing import logs_instead, observing_options

VARIABLES = ("NBFLOW_METRICS_PORT", "NBFLOW_TRACES", "NBFLOW_LOG", "NBFLOW_LOG_LEVEL")


@click.command()
@observing_options
def command():
    print([os.environ.get(name) for name in VARIABLES[:2]], logs_instead())


@pytest.fixture
def invoke(monkeypatch):
    for name in VARIABLES:  # first set, so that all of it is undone
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return lambda *words: CliRunner().invoke(command, words)


def test_options_become_variables(invoke):
    assert invoke("--metrics-port", "9123", "--traces").output == "['9123', '1'] False\n"


def test_the_environment_is_the_callers_again_when_the_command_has_ended(invoke):
    before, logger = dict(os.environ), logging.getLogger("nbflow")
    handlers, propagates, level = list(logger.handlers), logger.propagate, logger.level
    options = ("--metrics-port", "9123", "--traces", "--log-format", "json")
    assert invoke(*options).output == "['9123', '1'] True\n"
    command.make_context("command", [*options]).close()
    assert dict(os.environ) == before
    assert (logger.handlers, logger.propagate, logger.level) == (handlers, propagates, level)


def test_without_options_nothing_is_asked_for(invoke):
    assert invoke().output == "[None, None] False\n"


def test_a_variable_asks_for_the_log_as_well(invoke, monkeypatch):
    monkeypatch.setenv("NBFLOW_LOG", "json")
    assert invoke().output.endswith("True\n")


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["--metrics-port", "1"], "prometheus_client", "metrics"),
        (["--traces"], "opentelemetry", "otel"),
    ],
)
def test_what_is_not_installed_is_told(invoke, monkeypatch, words, package, extra):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    done = invoke(*words)
    assert done.exit_code == 2
    assert f"{words[0]} needs {package}. Install it: pip install 'nbflow[{extra}]'" in done.output


@pytest.mark.parametrize("words", [["--metrics-port", "70000"], ["--log-format", "xml"]])
def test_nonsense_is_refused(invoke, words):
    assert invoke(*words).exit_code == 2
