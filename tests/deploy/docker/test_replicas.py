"""Three replicas with one DNS name, of which one is killed under load."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.documents.compose import ROOT, TRAIN_IMAGE, WAIT_SECONDS, Compose, is_healthy, wait_until

pytestmark = pytest.mark.docker

NUM_REPLICAS = 3
NUM_CALLERS = 24
NUM_CALLS = 20  # answered by each replica before the kill, and by each survivor after it


@pytest.fixture(scope="module")
def project(engine, images):
    """A project with three healthy servers."""
    compose = Compose(engine, replicas=NUM_REPLICAS)
    try:
        compose("up", "--wait", "--wait-timeout", "600", "--no-build", "--scale", f"server={NUM_REPLICAS}", "server")
        yield compose
    finally:
        compose.down()


def num_answered(project, container):
    """Returns the number of lists that a replica has answered."""
    families = list(text_string_to_metric_families(project.metrics_page(container)))
    [requests] = [family for family in families if family.name == "lorb_rescore_requests"]
    return sum(sample.value for sample in requests.samples if sample.name.endswith("_total"))


@pytest.fixture
def callers(engine, project, sample, tmp_path):
    """A container with callers on the servers' network, and the file that stops them."""
    tmp_path.chmod(0o755)
    script = ROOT / "tests" / "support/servers/steady_calls.py"
    container = engine.containers.run(
        TRAIN_IMAGE,
        ["/calls/steady_calls.py", "dns:///server:50051", "/lists/test.jsonl.gz", str(NUM_CALLERS), "/out/stop"],
        entrypoint="python", network=project.network, detach=True,
        volumes=[f"{script}:/calls/steady_calls.py:ro", f"{sample}:/lists:ro", f"{tmp_path}:/out:ro"],
    )  # fmt: skip
    yield container, tmp_path / "stop"
    container.remove(force=True)


def test_no_call_fails_when_a_replica_is_killed(project, callers):
    """The client balances calls over all three replicas and loses none when one is killed."""
    calling, stop = callers
    servers = project.containers()
    assert len(servers) == NUM_REPLICAS
    wait_until(lambda: all(num_answered(project, each) > NUM_CALLS for each in servers), calling)
    killed, *others = servers
    before = [num_answered(project, each) for each in others]
    killed.kill()
    for each, was in zip(others, before, strict=True):
        wait_until(lambda each=each, was=was: num_answered(project, each) > was + NUM_CALLS, calling)
    stop.touch()
    assert calling.wait(timeout=WAIT_SECONDS)["StatusCode"] == 0, calling.logs().decode()
    result = json.loads(calling.logs(stderr=False))
    assert result["failures"] == []
    assert result["answered"] > NUM_REPLICAS * NUM_CALLS


def test_a_killed_replica_comes_back(project):
    """A killed replica becomes healthy after it is started again."""
    killed = project.containers()[0]
    killed.start()
    wait_until(lambda: is_healthy(killed), killed)
