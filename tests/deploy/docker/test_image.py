"""The image of the server, run without a network, with a read-only root and without capabilities."""

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
    """A hardened container of the server, with the lists mounted."""
    container = engine.containers.run(images, detach=True, volumes=[f"{lists}:/lists:ro"], **HARDENED)
    yield container
    container.remove(force=True)


def output(engine, image, code):
    """Returns the output of a shell command in the image."""
    return engine.containers.run(image, ["sh", "-c", code], remove=True, **HARDENED).decode()


def test_the_container_runs_as_an_unprivileged_user(engine, images):
    """The user is not root and owns only the folders of the store and of the runs."""
    assert output(engine, images, "id -u").strip() == "10001"
    owned = output(engine, images, "find / -xdev -user 10001 2>/dev/null || true").split()
    assert {path.split("/")[1] for path in owned} == {"store", "runs"}


def test_the_image_contains_no_build_tools(engine, images):
    """The image has no compiler, no installer and no test runner."""
    assert output(engine, images, "; ".join(f"command -v {tool} || true" for tool in TOOLS)) == ""
    code = f"import importlib.util as u; print([name for name in {MODULES} if u.find_spec(name)])"
    assert output(engine, images, f'python -c "{code}"').strip() == "[]"


def test_workers_follow_the_cpu_quota(engine, images):
    """A container with a quota of one CPU counts one core, although it sees all cores of the machine."""
    code = "import os; from lorb_adapters.cores import usable_cores; print(usable_cores(), os.cpu_count())"
    printed = engine.containers.run(images, ["python", "-c", code], remove=True, nano_cpus=10**9, **HARDENED)
    cores, shown = map(int, printed.decode().split())
    assert cores == 1
    assert shown > 1


def test_the_container_serves_without_a_network(server):
    """The image contains base and adapters: the container becomes healthy and rescores real lists."""
    wait_until(lambda: is_healthy(server), server)
    status, printed = server.exec_run(
        ["lorb-rescore", "/lists/test.jsonl", "--target", "127.0.0.1:50051", "--domain", "librispeech",
         "-o", "/tmp/rescored.jsonl.gz"]  # noqa: S108
    )  # fmt: skip
    assert status == 0, printed.decode()
    assert f"librispeech {SHIPPED} {NUM_LISTS}" in printed.decode()


def test_sigterm_drains_the_container(server):
    """On SIGTERM the server drains and exits with status 0 before the engine would kill it."""
    wait_until(lambda: is_healthy(server), server)
    server.stop(timeout=120)
    assert server.wait()["StatusCode"] == 0
    log = server.logs(tail=5).decode()
    assert '"message": "draining"' in log
    assert '"message": "stopped"' in log
