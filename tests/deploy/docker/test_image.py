"""The server's image, run as hard as it is meant to be: no network, a read-only root, no rights."""

import pytest

from support.documents.compose import NUM_LISTS, SHIPPED, is_healthy, wait_until

pytestmark = pytest.mark.docker

HARDENED = {
    "network_mode": "none",
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
TOOLS = ("pip", "pip3", "gcc", "cc", "g++", "make", "cmake", "git", "strip", "ld")
MODULES = ("pip", "setuptools", "wheel", "ensurepip", "pytest")


@pytest.fixture(scope="module")
def server(engine, images, lists):
    """A server started from the image alone."""
    container = engine.containers.run(images, detach=True, volumes=[f"{lists}:/lists:ro"], **HARDENED)
    yield container
    container.remove(force=True)


def output(engine, image, code):
    """What a shell in the image says."""
    return engine.containers.run(image, ["sh", "-c", code], remove=True, **HARDENED).decode()


def test_it_runs_as_a_user_without_rights(engine, images):
    """Not root; and of the image's files only the store, for the volume made from it, and the runs are the user's."""
    assert output(engine, images, "id -u").strip() == "10001"
    owned = output(engine, images, "find / -xdev -user 10001 2>/dev/null || true").split()
    assert {path.split("/")[1] for path in owned} == {"store", "runs"}


def test_it_holds_no_tools_to_build_with(engine, images):
    """No compiler, no installer, no test runner."""
    assert output(engine, images, "; ".join(f"command -v {tool} || true" for tool in TOOLS)) == ""
    code = f"import importlib.util as u; print([name for name in {MODULES} if u.find_spec(name)])"
    assert output(engine, images, f'python -c "{code}"').strip() == "[]"


def test_it_serves_without_a_network(server):
    """Base and adapters are inside: it becomes healthy by its own check and rescores real lists."""
    wait_until(lambda: is_healthy(server), server)
    status, said = server.exec_run(
        ["lorb-rescore", "/lists/test.jsonl", "--target", "127.0.0.1:50051", "--domain", "librispeech",
         "-o", "/tmp/rescored.jsonl.gz"]  # noqa: S108
    )  # fmt: skip
    assert status == 0, said.decode()
    assert f"librispeech {SHIPPED} {NUM_LISTS}" in said.decode()


def test_sigterm_ends_it_in_order(server):
    """It drains and exits with status 0 before the engine would kill it."""
    wait_until(lambda: is_healthy(server), server)
    server.stop(timeout=120)
    assert server.wait()["StatusCode"] == 0
    log = server.logs(tail=5).decode()
    assert '"message": "draining"' in log
    assert '"message": "stopped"' in log
