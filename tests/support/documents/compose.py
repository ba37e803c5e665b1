"""Runs the repository's docker-compose.yml as a separate project with its own names, images, ports and volumes."""

import os
import socket
import subprocess
import time
import uuid
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from lorb.names import DomainSelector
from lorb_adapters.store.store import Store

ROOT = Path(__file__).parents[3]
SERVER_IMAGE, TRAIN_IMAGE = "lorb-test:server", "lorb-test:train"
SHIPPED = Store(str(ROOT / "adapters" / "store")).resolve(DomainSelector("librispeech"))  # the stable version
NUM_LISTS = 60  # lists of each part of the sample in the containers
WAIT_SECONDS = 600  # long enough for a build or a start on a busy machine

_ports = count(20000 + os.getpid() % 10000)


class Compose:
    """Runs `docker compose` for one project and finds its containers.

    Attributes:
        engine: the client of the `docker` package.
        ports: ports of this machine, one for each replica.
    """

    def __init__(self, engine, *, replicas=1, **environment):
        self.engine = engine
        self.name = f"lorb-test-{uuid.uuid4().hex[:8]}"
        self.ports = free_ports(replicas)
        self._environment = {
            **os.environ,
            **builder_settings(engine),
            "DOCKER_BUILDKIT": "1",
            "LORB_IMAGE": SERVER_IMAGE,
            "LORB_TRAIN_IMAGE": TRAIN_IMAGE,
            "LORB_PORTS": f"{self.ports[0]}-{self.ports[-1]}",
            **environment,
        }

    def __call__(self, *arguments):
        """Runs a subcommand and returns its output. Raises AssertionError with the output if it fails."""
        command = ["docker", "compose", "--project-name", self.name, "--file", ROOT / "docker-compose.yml", *arguments]
        run = subprocess.run(  # noqa: S603
            command, env=self._environment, capture_output=True, text=True, timeout=2 * WAIT_SECONDS
        )
        assert run.returncode == 0, f"{arguments}: {run.stdout}\n{run.stderr}"
        return run.stdout + run.stderr

    def containers(self, service="server"):
        """Returns the containers of a service by number, including stopped ones."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        found = self.engine.containers.list(all=True, filters={"label": labels})
        return sorted(found, key=lambda container: int(container.labels["com.docker.compose.container-number"]))

    @property
    def network(self):
        """The name of the project's network."""
        return f"{self.name}_default"

    def metrics_page(self, container):
        """Scrapes the metrics of a server from another container of the network, as Prometheus does."""
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self.network]["IPAddress"]
        code = (
            f"import urllib.request as u; print(u.urlopen('http://{address}:9464/metrics', timeout=60).read().decode())"
        )
        return self.engine.containers.run(
            TRAIN_IMAGE, ["-c", code], entrypoint="python", network=self.network, remove=True
        ).decode()

    def down(self):
        """Removes all containers, networks and volumes of the project."""
        self(
            "--profile", "monitoring", "--profile", "train", "down", "--volumes", "--remove-orphans", "--timeout", "30"
        )


def builder_settings(engine):
    """Returns build settings for a machine without a package index that has an image `local/wheels` with wheels."""
    if "WHEELS_IMAGE" in os.environ or not engine.images.list("local/wheels"):
        return {}
    return {"WHEELS_IMAGE": "local/wheels", "TORCH_INDEX_URL": ""}


def wait_until(condition, container=None):
    """Calls `condition` until it returns a true value, and returns that.

    Raises AssertionError with the container's log after WAIT_SECONDS.
    """
    limit = time.monotonic() + WAIT_SECONDS
    while not (value := condition()):
        log = container.logs(tail=30).decode() if container is not None and time.monotonic() > limit else ""
        assert time.monotonic() < limit, log
        time.sleep(0.5)
    return value


def is_healthy(container):
    """Whether the health check of the image reports "healthy"."""
    container.reload()
    return container.attrs["State"].get("Health", {}).get("Status") == "healthy"


def free_ports(number):
    """Returns consecutive free ports that no earlier call returned."""
    while True:
        ports = range(first := next(_ports), first + number)
        with ExitStack() as held:
            try:
                for port in ports:
                    held.enter_context(socket.socket()).bind(("0.0.0.0", port))
            except OSError:
                continue
            for _ in ports[1:]:
                next(_ports)
            return ports
