"""The compose project: call, train, publish, swap, roll back, restart and stop."""

import pytest

from lorb import Outcome, RescoreOptions
from lorb_client import Client
from support.documents.compose import SHIPPED, Compose, is_healthy, wait_until

pytestmark = pytest.mark.docker

LIBRISPEECH = RescoreOptions(domain="librispeech")
NEXT = f"{int(SHIPPED.partition('-')[0]) + 1}-"


@pytest.fixture(scope="module")
def project(engine, images, lists):
    """A project with one healthy server."""
    compose = Compose(engine, LORB_LISTS_DIR=str(lists))
    try:
        compose("up", "--wait", "--wait-timeout", "600", "--no-build", "server")
        yield compose
    finally:
        compose.down()


@pytest.fixture
def client(project):
    with Client(f"127.0.0.1:{project.ports[0]}", timeout_seconds=60, wait_for_ready=True) as client:
        yield client


def version(client, nbest):
    return client.rescore(nbest, LIBRISPEECH).adapter.version


def test_a_healthy_server_answers_the_host(project, client, sample_dev):
    """A call from the host is rescored by the shipped adapter in the volume, with and without a domain."""
    [server] = project.containers()
    assert is_healthy(server)
    for options in (LIBRISPEECH, RescoreOptions()):
        ranked = client.rescore(sample_dev[0], options)
        assert ranked.outcome is Outcome.RESCORED
        assert ranked.adapter.version == SHIPPED
        assert len(ranked.hypotheses) == len(sample_dev[0].hypotheses)


def test_the_metrics_are_in_the_projects_network_only(project):
    """Another container scrapes the metrics; the host publishes the port for calls only."""
    [server] = project.containers()
    assert "lorb_serving 1.0" in project.metrics_page(server)
    assert {port for port, published in server.ports.items() if published} == {"50051/tcp"}


def test_the_server_cannot_write(project):
    """The server's root and its store are read-only."""
    [server] = project.containers()
    for path in ("/opt/lorb/x", "/store/x"):
        status, printed = server.exec_run(["touch", path])
        assert status != 0
        assert b"Read-only file system" in printed


def test_a_trained_version_serves_without_a_restart(project, client, sample_dev):
    """The server picks up a version that the trainer publishes in the shared volume, and its rollback."""
    [server] = project.containers()
    started = server.attrs["State"]["StartedAt"]
    printed = project(
        "run", "--rm", "-T", "train", "--domain", "librispeech", "--train", "/lists/train.jsonl",
        "--dev", "/lists/dev.jsonl", "--max-steps", "2", "--force",
    )  # fmt: skip
    assert f"published librispeech@{NEXT}" in printed
    wait_until(lambda: version(client, sample_dev[0]).startswith(NEXT), server)
    project("run", "--rm", "-T", "adapters", "rollback", "librispeech")
    wait_until(lambda: version(client, sample_dev[0]) == SHIPPED, server)
    server.reload()
    assert server.attrs["State"]["StartedAt"] == started


def test_the_store_outlives_the_server(project, client, sample_dev):
    """After `down` and `up` the volume still contains the version that was trained before."""
    project("down", "--timeout", "60")
    project("up", "--wait", "--wait-timeout", "600", "--no-build", "server")
    assert version(client, sample_dev[0]) == SHIPPED
    assert NEXT in project("run", "--rm", "-T", "adapters", "list")


def test_a_restarted_server_has_the_same_port(project, client, sample_dev):
    """A client from before the restart gets answers after it."""
    [server] = project.containers()
    assert version(client, sample_dev[0]) == SHIPPED
    server.restart(timeout=60)
    wait_until(lambda: is_healthy(server), server)
    assert version(client, sample_dev[0]) == SHIPPED
