"""Grafana's dashboard and its provisioning files."""

import json
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy" / "monitoring" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "lorb.json").read_text("utf-8"))
PANELS = DASHBOARD["panels"]
COLUMNS = 24
PROMTOOL = shutil.which("promtool")


def provisioned(path):
    return yaml.safe_load((GRAFANA / "provisioning" / path).read_text("utf-8"))


def cells(panel):
    grid = panel["gridPos"]
    return {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}


def test_the_dashboard_has_all_fields_that_grafana_needs():
    """The dashboard has a uid, a schema version, a refresh and a time range; each panel has a unique id and queries."""
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("lorb", "LoRB")
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["refresh"]
    assert DASHBOARD["time"].keys() == {"from", "to"}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])


def test_panels_do_not_overlap():
    """No two panels share a cell of the grid, and no panel leaves it."""
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert max(x for panel in PANELS for x, _ in cells(panel)) < COLUMNS


def test_everything_queries_the_provisioned_data_source():
    """All queries use its uid; it points at compose's Prometheus and has the same scrape interval."""
    [source] = provisioned("datasources/prometheus.yml")["datasources"]
    users = [*PANELS, *(target for panel in PANELS for target in panel["targets"])]
    users += [*DASHBOARD["templating"]["list"], *DASHBOARD["annotations"]["list"]]
    assert {(user["datasource"]["type"], user["datasource"]["uid"]) for user in users} == {
        (source["type"], source["uid"])
    }
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    scraping = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text("utf-8"))
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_compose_mounts_the_provisioning_and_the_dashboard():
    """Compose mounts the provisioning folder and the folder of the dashboard at the paths that Grafana reads."""
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["grafana"]
    mounts = dict(mount.split(":")[:2][::-1] for mount in grafana["volumes"])
    [provider] = provisioned("dashboards/lorb.yml")["providers"]
    assert mounts["/etc/grafana/provisioning"] == "./deploy/monitoring/grafana/provisioning"
    dashboards = mounts[provider["options"]["path"]]
    assert (ROOT / dashboards / "lorb.json").is_file()
    assert (
        grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        == f"{provider['options']['path']}/lorb.json"
    )


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt-get install prometheus")
def test_every_expression_parses(tmp_path):
    """Promtool parses each expression after Grafana's variables are replaced."""
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [each["expr"] for each in DASHBOARD["annotations"]["list"]]
    filled = [each.replace("$__rate_interval", "1m").replace("$domain", ".*") for each in expressions]
    assert not [each for each in filled if "$" in each]
    rules = [{"record": f"panel:{i}", "expr": each} for i, each in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run = subprocess.run([PROMTOOL, "check", "rules", path], capture_output=True, text=True, timeout=300)  # noqa: S603
    assert run.returncode == 0, run.stdout + run.stderr
