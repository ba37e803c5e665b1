"""A compose project of the repository's own docker-compose.yml, apart from any other: names, images, ports, volumes."""

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
SHIPPED = Store(str(ROOT / "adapters" / "store")).resolve(DomainSelector("librispeech"))  # the version of its stable
NUM_LISTS = 60  # of each part of the sample, for containers
WAIT_SECONDS = 600  # for a build or a start on a machine that does other things too

_ports = count(20000 + os.getpid() % 10000)


class Compose:
    """The command `docker compose` for one project, and the project's containers.

    Attributes:
        engine: the `docker` package's client.
        ports, metrics_ports: of this machine, one for each replica.
    """

    def __init__(self, engine, *, replicas=1, **environment):
        self.engine = engine
        self.name = f"lorb-test-{uuid.uuid4().hex[:8]}"
        self.ports, self.metrics_ports = free_ports(replicas), free_ports(replicas)
        self._environment = {
            **os.environ,
            **builder_settings(engine),
            "DOCKER_BUILDKIT": "1",
            "LORB_IMAGE": SERVER_IMAGE,
            "LORB_TRAIN_IMAGE": TRAIN_IMAGE,
            "LORB_PORTS": f"{self.ports[0]}-{self.ports[-1]}",
            "LORB_METRICS_PORTS": f"{self.metrics_ports[0]}-{self.metrics_ports[-1]}",
            **environment,
        }

    def __call__(self, *arguments):
        """Runs a subcommand to its end and returns what it wrote; AssertionError with all of that where it fails."""
        command = ["docker", "compose", "--project-name", self.name, "--file", ROOT / "docker-compose.yml", *arguments]
        run = subprocess.run(  # noqa: S603
            command, env=self._environment, capture_output=True, text=True, timeout=2 * WAIT_SECONDS
        )
        assert run.returncode == 0, f"{arguments}: {run.stdout}\n{run.stderr}"
        return run.stdout + run.stderr

    def containers(self, service="server"):
        """A service's containers that are there, stopped ones included, by number."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        found = self.engine.containers.list(all=True, filters={"label": labels})
        return sorted(found, key=lambda one: int(one.labels["com.docker.compose.container-number"]))

    @property
    def network(self):
        """The name of the network that the servers are on."""
        return f"{self.name}_default"

    def down(self):
        """Takes all of it away, volumes too."""
        self(
            "--profile", "monitoring", "--profile", "train", "down", "--volumes", "--remove-orphans", "--timeout", "30"
        )


def builder_settings(engine):
    """Where builds find torch: a machine that keeps wheels in an image of this name reaches no index of its own."""
    if "WHEELS_IMAGE" in os.environ or not engine.images.list("local/wheels"):
        return {}
    return {"WHEELS_IMAGE": "local/wheels", "TORCH_INDEX_URL": ""}


def wait_until(condition, container=None):
    """Returns what `condition` gives once that is true; AssertionError, with a container's log, where it never is."""
    limit = time.monotonic() + WAIT_SECONDS
    while not (value := condition()):
        log = container.logs(tail=30).decode() if container is not None and time.monotonic() > limit else ""
        assert time.monotonic() < limit, log
        time.sleep(0.5)
    return value


def is_healthy(container):
    """Whether the image's own health check says so."""
    container.reload()
    return container.attrs["State"].get("Health", {}).get("Status") == "healthy"


def free_ports(number):
    """So many ports in a row that nobody listens on, and that were not given before."""
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
