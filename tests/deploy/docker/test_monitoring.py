"""`docker compose --profile monitoring up`, with an image built from the local Prometheus program."""

import io
import json
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from support.documents.compose import ROOT, Compose, free_ports, is_healthy, wait_until

pytestmark = pytest.mark.docker

IMAGE = "lorb-test:prometheus"
NUM_REPLICAS = 2


@pytest.fixture(scope="module")
def prometheus_image(engine, images):
    """An image like prom/prometheus, with the local program at the same path and a data folder."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("no prometheus: apt-get install prometheus")
    dockerfile = (
        "ARG BASE\nFROM $BASE\nCOPY prometheus /bin/prometheus\n"
        'RUN mkdir /prometheus && chown 65534 /prometheus\nUSER 65534\nENTRYPOINT ["/bin/prometheus"]\n'
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (("Dockerfile", dockerfile.encode()), ("prometheus", Path(binary).read_bytes())):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    context.seek(0)
    base = images.attrs["Config"]["Labels"]["org.opencontainers.image.base.name"]
    engine.images.build(fileobj=context, custom_context=True, tag=IMAGE, buildargs={"BASE": base}, rm=True)
    return IMAGE


@pytest.fixture(scope="module")
def prometheus(engine, prometheus_image):
    """The URL of the project's Prometheus, after two servers have become healthy."""
    [port] = free_ports(1)
    compose = Compose(engine, replicas=NUM_REPLICAS, PROMETHEUS_IMAGE=prometheus_image, PROMETHEUS_PORT=str(port))
    try:
        up = ("--profile", "monitoring", "up", "--detach", "--no-build", "--scale", f"server={NUM_REPLICAS}")
        compose(*up, "server", "prometheus")
        for server in compose.containers():
            wait_until(lambda server=server: is_healthy(server), server)
        yield f"http://127.0.0.1:{port}"
    finally:
        compose.down()


def answer(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as page:  # noqa: S310
            return json.load(page)["data"]
    except (urllib.error.URLError, ConnectionError):
        return {}


def test_prometheus_finds_every_replica_and_loads_the_rules(prometheus):
    """With the shipped configuration, Prometheus finds both replicas by the service name and loads all rules."""

    def serving():
        found = answer(f"{prometheus}/api/v1/query?query=lorb_serving==1").get("result", [])
        return len(found) == NUM_REPLICAS

    wait_until(serving)
    shipped = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus" / "alerts.yml").read_text("utf-8"))
    loaded = answer(f"{prometheus}/api/v1/rules")["groups"]
    assert {group["name"] for group in loaded} == {group["name"] for group in shipped["groups"]}
