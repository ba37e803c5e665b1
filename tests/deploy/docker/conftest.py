"""What the tests with an engine share: the engine, and the images, built once."""

import gzip
from itertools import islice

import pytest

from compose import NUM_LISTS, SERVER_IMAGE, Compose


@pytest.fixture(scope="session")
def engine():
    """The engine's client; the test is skipped where there is none."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    yield client
    client.close()


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
