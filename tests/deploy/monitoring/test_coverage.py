"""Alerts, their scenarios, the documentation and the dashboard: each knows the same names."""

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
    """Every series name that the page's table means, with those of histograms."""
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", PAGE, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def test_every_alert_has_a_scenario_and_a_line_in_the_documentation():
    """And neither names one that is not there."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert scenarios() == set(names)
    assert set(re.findall(r"`(Lorb[A-Z]\w+)`", PAGE)) == set(names)


def test_every_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do():
    """An operator reads it at night."""
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "action"}


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in rules()), *panel_expressions()])
def test_expressions_ask_only_for_metrics_that_are_documented(expression):
    """A name with a slip in it would never fire, or draw an empty panel."""
    asked = set(re.findall(r"\b(?:lorb|process)_\w+", re.sub(r'"[^"]*"', "", expression)))
    assert asked or "up{" in expression
    assert asked <= documented_series()
