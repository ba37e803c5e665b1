"""A real Prometheus with the shipped rules scrapes a real server under traffic."""

import json
import math
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.serving import free_port, running_server

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "deploy" / "monitoring" / "prometheus"
DASHBOARD = ROOT / "deploy" / "monitoring" / "grafana" / "dashboards" / "lorb.json"
PROMETHEUS = shutil.which("prometheus")
WAIT_SECONDS = 300

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus: apt-get install prometheus")


@pytest.fixture(scope="module")
def prometheus(tiny_bert, tmp_path_factory):
    """The URL of a Prometheus that scrapes a server with a canary under constant traffic."""
    folder = tmp_path_factory.mktemp("prometheus")
    store, base = Store(str(tmp_path_factory.mktemp("scraped-store"))), load_base(str(tiny_bert))
    store.publish(make_publication(base, "voice", seed=1), set_stable=True)
    canary = store.publish(make_publication(base, "voice", seed=2), set_stable=False)
    store.set_alias("voice", "canary", canary, 0.5)
    metrics_port, port = free_port(), free_port()
    with running_server(tiny_bert, store.url, metrics_port=metrics_port) as server, traffic(server):
        write_configuration(folder, metrics_port)
        arguments = [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([PROMETHEUS, *arguments], stdout=log, stderr=log)  # noqa: S603
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)


def write_configuration(folder, metrics_port):
    """Writes the shipped configuration with another scrape interval and target."""
    configuration = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text("utf-8"))
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [job] = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    shutil.copy(CONFIGURATION / "alerts.yml", folder)


@contextmanager
def traffic(server):
    """Rescores lists from a thread until the block ends; some of their texts repeat."""
    ended = threading.Event()

    def call():
        number = 0
        while not ended.wait(0.02):
            number += 1
            server.rescore(f"the cat {number % 50}", f"a cat {number}", "the hat", timeout=WAIT_SECONDS)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield
    finally:
        ended.set()
        caller.join()


def answer(url):
    with urllib.request.urlopen(url, timeout=WAIT_SECONDS) as page:  # noqa: S310
        return json.load(page)["data"]


def wait_for(query):
    """Calls `query` until it returns a true value, and returns that. Prometheus may still be starting."""
    limit = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            value = query()
        except (urllib.error.URLError, ConnectionError):
            value = None
        if value:
            return value
        assert time.monotonic() < limit
        time.sleep(0.2)


def test_every_rule_evaluates(prometheus):
    """Every rule evaluates without an error over the series of a healthy server, and no alert fires."""

    def rules():
        found = [rule for group in answer(f"{prometheus}/api/v1/rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else None

    found = wait_for(rules)
    shipped = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text("utf-8"))["groups"]
    assert {rule["name"] for rule in found} == {rule["alert"] for group in shipped for rule in group["rules"]}
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in found if rule["state"] == "firing"] == []


def has_data(prometheus, panel, at):
    """Whether one of a panel's queries gives a finite number at a Unix time, in whole seconds."""
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "1m").replace("$domain", ".*")
        parameters = urllib.parse.urlencode({"query": query, "time": at})
        found = answer(f"{prometheus}/api/v1/query?{parameters}")["result"]
        if any(math.isfinite(float(series["value"][1])) for series in found):
            return True
    return False


def test_every_panel_of_the_dashboard_draws_data(prometheus, tmp_path):
    """The script that draws the dashboard's picture succeeds, because every panel has data.

    Rates need two scrapes under traffic, so the picture ends at the first time at which every panel has a number.
    """
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]

    def complete():
        now = int(time.time())
        return now if all(has_data(prometheus, panel, now) for panel in panels) else None

    end = wait_for(complete)
    script, picture = ROOT / "benchmarks" / "draw_dashboard.py", tmp_path / "dashboard.png"
    command = [sys.executable, script, "--prometheus", prometheus, "--minutes", "1", "--end", str(end), "-o", picture]
    run = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)  # noqa: S603
    assert run.returncode == 0, run.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_panel_without_data_is_named(prometheus, tmp_path):
    """For a time before the server started, the script fails and names a panel without data."""
    script = ROOT / "benchmarks" / "draw_dashboard.py"
    command = [sys.executable, script, "--prometheus", prometheus, "--end", "1000000000", "-o", tmp_path / "no.png"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)  # noqa: S603
    assert run.returncode == 1
    assert "panel 'Replicas that serve' has no data" in run.stderr
