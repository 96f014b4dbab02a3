import json
from pathlib import Path

import jsonschema
import pytest

import nbflow.definition
from nbflow.definition import document
from nbflow.definition.yaml_source import YamlSource

PUBLISHED = Path(nbflow.definition.__file__).parent / "flow.schema.json"

VALID = {
    "the interface's example": {
        "flow": "sales",
        "params": {"date": "2026-01-01"},
        "defaults": {"retries": 2, "timeout": {"hard": 600}},
        "nodes": {
            "extract": {"notebook": "extract.ipynb", "params": {"date": "${params.date}"}},
            "clean": {"notebook": "clean.ipynb", "params": {"rows": "${extract.rows}"}},
            "train": {"notebook": "train.ipynb", "priority": 10},
            "report": {"notebook": "report.ipynb", "after": ["train"]},
        },
    },
    "every key": {
        "flow": "f",
        "limits": {"flow": 8, "groups": {"models": 2}},
        "preload": ["sklearn.linear_model"],
        "nodes": {
            "a": {
                "notebook": "a.ipynb",
                "params": {"x": [1, {"y": None}]},
                "after": "b",
                "outputs": ["x", "y"],
                "retries": {"times": 1, "backoff": 2, "factor": 1, "max_backoff": 3, "jitter": 0},
                "timeout": 1.5,
                "memory": "2GB",
                "output_limit": {"cell": "10MB", "notebook": False, "then": "fail"},
                "cpus": 2,
                "nice": 19,
                "start_timeout": 0.5,
                "priority": -1,
                "resources": {"GPU": 0.5},
                "continue_on_failure": True,
                "effect": "at_most_once",
                "cache": {"ttl": "1h", "jitter": 0.5},
                "checkpoint": "30s",
                "inputs": ["data/*.csv", "x.parquet"],
                "packages": "pandas",
                "kernel": "python3",
                "python": "venv",
                "env": {"OMP_NUM_THREADS": 2, "RATE": 0.5, "MODE": "fast"},
                "cwd": ".",
            },
            "c": {
                "notebook": "c.ipynb",
                "timeout": {"soft": 1, "hard": 2, "cell_soft": 1, "cell_hard": 2},
                "output_limit": False,
            },
            "d": {"notebook": "d.ipynb", "output_limit": "10MB", "cache": True, "checkpoint": 30},
            "e": {"notebook": "e.ipynb", "cache": "7d", "checkpoint": False, "inputs": "data"},
            "f": {"notebook": "f.ipynb", "cache": 3600.5, "expected": {"seconds": "1h"}},
            "g": {"notebook": "g.ipynb", "expected": "10m"},
            "h": {"notebook": "h.ipynb", "expected": False},
            "b": {"function": "module:function", "memory": 1000, "retries": None},
        },
    },
}

INVALID = {
    "no name": {"nodes": {"a": {"notebook": "a.ipynb"}}},
    "no nodes": {"flow": "f", "nodes": {}},
    "an unknown key": {"flow": "f", "nodes": {"a": {"notebook": "a", "retrys": 1}}},
    "retries in words": {"flow": "f", "nodes": {"a": {"notebook": "a", "retries": "many"}}},
    "a negative retry": {"flow": "f", "nodes": {"a": {"notebook": "a", "retries": -1}}},
    "a yes to output": {"flow": "f", "nodes": {"a": {"notebook": "a", "output_limit": True}}},
    "no cores": {"flow": "f", "nodes": {"a": {"notebook": "a", "cpus": 0}}},
    "too nice": {"flow": "f", "nodes": {"a": {"notebook": "a", "nice": 20}}},
    "another effect": {"flow": "f", "nodes": {"a": {"notebook": "a", "effect": "once"}}},
    "a cache without time": {"flow": "f", "nodes": {"a": {"notebook": "a", "cache": {"ttl": 0}}}},
    "a yes to checkpoints": {"flow": "f", "nodes": {"a": {"notebook": "a", "checkpoint": True}}},
    "a flag as a variable": {"flow": "f", "nodes": {"a": {"notebook": "a", "env": {"A": True}}}},
    "a function without a name": {"flow": "f", "nodes": {"a": {"function": "module"}}},
    "a node of both kinds": {"flow": "f", "nodes": {"a": {"function": "m:f", "notebook": "a"}}},
    "a node of no kind": {"flow": "f", "nodes": {"a": {"priority": 1}}},
}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_that_of_the_models():
    assert json.loads(PUBLISHED.read_text()) == document.schema(), (
        "write json.dumps(nbflow.definition.document.schema(), indent=2) to flow.schema.json"
    )


@pytest.mark.parametrize("name", VALID)
def test_what_the_schema_accepts_is_a_document(name, validator):
    validator.validate(VALID[name])
    assert isinstance(document.read_document(VALID[name]), document.FlowModel)


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_flow_is_refused_by_the_schema(name, validator):
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(INVALID[name])


def test_every_field_says_what_it_must_be():
    models = [document.FlowModel, document.NodeModel, document.LimitsModel]
    models += [document.RetryModel, document.TimeoutModel, document.OutputLimitModel]
    models += [document.CacheModel, document.ExpectedModel]
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"


def test_the_schema_and_the_reader_agree_on_the_flow_files_of_the_project(validator):
    files = sorted((PUBLISHED.parents[2] / "notebooks").rglob("*.yaml"))
    assert files
    for path in files:
        validator.validate(YamlSource(path.read_text(), path.name).value)
