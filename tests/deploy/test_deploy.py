"""The files for Prometheus and Grafana are right, and speak of metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from recorded_run import RecordedRun

from nbflow.observing.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yaml"
UNIT_TESTS = DEPLOY / "prometheus-alerts.test.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
PAGE = DEPLOY.parent / "docs" / "metrics.md"

#: What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$flow": ".*"}

_NAME = re.compile(r"\bnbflow_\w+")


def promtool(*words):
    program = shutil.which("promtool")
    assert program, "promtool is missing. It comes with Prometheus: apt-get install prometheus"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def families():
    """All metrics, of which most have samples: a run has a node that ended and one that runs."""
    metrics, run = Metrics(), RecordedRun()
    observer = run.observed_by(metrics.watch(run.begun, lambda: 0.0))
    run.succeed("load").start("left")
    observer(run.view())
    return list(metrics.registry.collect())


def known_names():
    """Names of all time series, with the suffixes that Prometheus sees."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    return {family.name + suffix for family in families() for suffix in suffixes[family.type]}


def alerts():
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    queries = [it["definition"] for it in DASHBOARD["templating"]["list"] if "definition" in it]
    return [rule["expr"] for rule in alerts()] + asked, queries


def test_the_rules_are_rules():
    promtool("check", "rules", str(ALERTS))


def test_the_rules_do_what_they_should():
    promtool("test", "rules", str(UNIT_TESTS))


def test_every_rule_has_a_test_of_its_alarm_and_of_its_silence():
    told = {True: set(), False: set()}
    for case in yaml.safe_load(UNIT_TESTS.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            told[bool(check["exp_alerts"])].add(check["alertname"])
    names = {rule["alert"] for rule in alerts()}
    assert told == {True: names, False: names}


def test_the_dashboard_asks_in_promql(tmp_path):
    rules = []
    for number, asked in enumerate(expressions()[0]):
        expression = asked
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression
        rules.append({"record": f"panel:{number}", "expr": expression})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_every_metric_that_is_named_exists():
    asked, queries = expressions()
    named = {name for text in [*asked, *queries] for name in _NAME.findall(text)}
    assert named <= known_names()
    described = {
        name
        for rule in alerts()
        for text in rule["annotations"].values()
        for name in _NAME.findall(text)
    }
    assert described <= {family.name for family in families()}


def test_every_metric_is_on_the_dashboard():
    shown = {name for text in expressions()[0] for name in _NAME.findall(text)}
    missing = {family.name for family in families()} - {
        re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown
    }
    assert missing == set()


def test_every_label_that_is_asked_for_exists():
    labels = {name for family in families() for it in family.samples for name in it.labels}
    # Nothing is stuck, there are no workers; and Prometheus adds where it asked.
    labels |= {"kind", "how", "instance"}
    asked = expressions()[0]
    used = {name for text in asked for name in re.findall(r'(\w+)(?:!?=~?)"', text)}
    used |= {
        name.strip()
        for text in asked
        for group in re.findall(r"by \(([^)]+)\)", text)
        for name in group.split(",")
    }
    assert used <= labels


def test_the_panels_do_not_overlap():
    cells = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells, panel["title"]
                cells.add((x, y))
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("family", families(), ids=lambda it: it.name)
def test_every_metric_is_described(family):
    suffix = "_total" if family.type == "counter" else ""
    assert f"| `{family.name}{suffix}` |" in PAGE.read_text()
