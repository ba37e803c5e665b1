"""Alerts, scenarios, documentation and dashboard use the same names."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
PAGE = (ROOT / "docs" / "operate" / "metrics.md").read_text("utf-8")
DASHBOARD = json.loads((MONITORING / "grafana" / "dashboards" / "lorb.json").read_text("utf-8"))


def rules():
    groups = yaml.safe_load((MONITORING / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def scenarios():
    """The alerts that a scenario expects to fire."""
    tests = yaml.safe_load(Path(__file__).with_name("alerts_test.yml").read_text("utf-8"))["tests"]
    checks = [check for test in tests for check in test.get("promql_expr_test", [])]
    samples = [sample["labels"] for check in checks for sample in check.get("exp_samples", [])]
    return {re.fullmatch(r'\{alertname="(\w+)"\}', labels)[1] for labels in samples}


def panel_expressions():
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def documented_series():
    """The series names in the page's table, including the series of histograms."""
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", PAGE, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def test_every_alert_has_a_scenario_and_a_line_in_the_documentation():
    """The scenarios and the documentation name exactly the alerts of the rules."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert scenarios() == set(names)
    assert set(re.findall(r"`(Lorb[A-Z]\w+)`", PAGE)) == set(names)


def test_every_alert_has_a_severity_a_summary_and_an_action():
    """Each alert has a known severity and exactly the annotations summary and action."""
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "action"}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in rules()), *panel_expressions()])
def test_expressions_use_only_documented_metrics(expression):
    """Each expression of a rule or panel names at least one series, and all of them are documented."""
    series = set(re.findall(r"\b(?:lorb|process)_\w+", re.sub(r'"[^"]*"', "", expression)))
    assert series or "up{" in expression
    assert series <= documented_series()
