"""Fixtures for tests that need a Docker engine: the client, the images and the lists."""

import gzip
import shutil
import subprocess
from itertools import islice

import pytest

from support.documents.compose import NUM_LISTS, SERVER_IMAGE, Compose


@pytest.fixture(scope="session")
def engine():
    """The client of the Docker engine. Skips the test if there is no engine."""
    import docker

    if reason := docker_missing():
        pytest.skip(reason)
    client = docker.from_env(timeout=300)
    yield client
    client.close()


def docker_missing():
    """Returns why containers cannot run here, or an empty string if they can."""
    # Asks the docker command, because the docker package leaves a socket open if no engine answers.
    if shutil.which("docker") is None:
        return "no docker command"
    for arguments in (["version"], ["compose", "version"]):
        run = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60)  # noqa: S603, S607
        if run.returncode:
            return f"no Docker engine: {run.stderr.strip()}"
    return ""


@pytest.fixture(scope="session")
def lists(sample, tmp_path_factory):
    """A folder that the user of a container can read, with the first lists of the sample."""
    folder = tmp_path_factory.mktemp("lists")
    folder.chmod(0o755)
    for part in ("train", "dev", "test"):
        with gzip.open(sample / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{part}.jsonl").write_text("".join(islice(lines, NUM_LISTS)), "utf-8")
    return folder


@pytest.fixture(scope="session")
def images(engine):
    """Builds the images of server and trainer with compose; returns the image of the server."""
    Compose(engine)("--profile", "train", "build")
    return engine.images.get(SERVER_IMAGE)
