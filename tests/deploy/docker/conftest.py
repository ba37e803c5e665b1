"""What the tests with an engine share: the engine, and the images, built once."""

import gzip
import shutil
import subprocess
from itertools import islice

import pytest

from support.documents.compose import NUM_LISTS, SERVER_IMAGE, Compose


@pytest.fixture(scope="session")
def engine():
    """The engine's client; the test is skipped where there is none."""
    import docker

    if trouble := missing():
        pytest.skip(trouble)
    client = docker.from_env(timeout=300)
    yield client
    client.close()


def missing():
    """What keeps containers from being run here, if anything."""
    # Asked of the command: where no engine answers, the package leaves a socket open.
    if shutil.which("docker") is None:
        return "no docker command"
    for arguments in (["version"], ["compose", "version"]):
        run = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60)  # noqa: S603, S607
        if run.returncode:
            return f"no Docker engine: {run.stderr.strip()}"
    return ""


@pytest.fixture(scope="session")
def lists(sample, tmp_path_factory):
    """A folder that a container's user may read, with the first of the sample's lists."""
    folder = tmp_path_factory.mktemp("lists")
    folder.chmod(0o755)
    for part in ("train", "dev", "test"):
        with gzip.open(sample / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{part}.jsonl").write_text("".join(islice(lines, NUM_LISTS)), "utf-8")
    return folder


@pytest.fixture(scope="session")
def images(engine):
    """Both images, built as compose builds them."""
    Compose(engine)("--profile", "train", "build")
    return engine.images.get(SERVER_IMAGE)
