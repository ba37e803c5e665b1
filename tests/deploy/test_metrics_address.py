"""The image and the manifests let Prometheus reach the metrics; compose publishes only the port for calls."""

import re
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from lorb_server.config import ServeConfig, environment_settings
from lorb_server.telemetry.metrics import Metrics
from lorb_server.telemetry.metrics_server import MetricsServer
from support.servers.serving import WAIT_SECONDS, free_port

ROOT = Path(__file__).parents[2]


def image_environment():
    """The variables that the Dockerfile sets in the image of the server."""
    return dict(re.findall(r"(LORB_\w+)=(\S+)", (ROOT / "Dockerfile").read_text("utf-8").rpartition("AS server")[2]))


def manifest_environment():
    """The variables that the Kubernetes manifests set."""
    base = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "base" / "kustomization.yaml").read_text("utf-8"))
    return dict(literal.split("=", 1) for literal in base["configMapGenerator"][0]["literals"])


@contextmanager
def exported(environment):
    """Serves metrics at the address that a server with these variables uses; yields the port."""
    settings = ServeConfig(**environment_settings(environment))
    server = MetricsServer(Metrics().registry, settings.metrics_host, free_port())
    try:
        yield server.port
    finally:
        server.close()


def scrape(port):
    """Scrapes another address than 127.0.0.1, to which a server on 127.0.0.1 does not answer."""
    with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics", timeout=WAIT_SECONDS) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("environment", [image_environment, manifest_environment])
def test_the_metrics_of_a_container_are_scraped_from_outside(environment):
    """With the variables of the image or of the manifests, another address than 127.0.0.1 serves the metrics."""
    with exported(environment()) as port:
        assert "lorb_serving" in scrape(port)


def test_the_metrics_of_a_server_are_on_loopback():
    """Without the variables of the image, only 127.0.0.1 serves the metrics, whatever --host is."""
    with exported({"LORB_HOST": "0.0.0.0"}) as port, pytest.raises(urllib.error.URLError):
        scrape(port)


def test_compose_publishes_only_the_port_for_calls():
    """On the host's network, the project has the port for calls; Prometheus and Grafana are on its loopback."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert services["server"]["ports"] == ["${LORB_PORTS:-50051}:50051"]
    others = [port for name, service in services.items() if name != "server" for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in others)
