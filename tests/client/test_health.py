"""lorb_client.health: tells a serving server from any other, for container health checks."""

import pytest
from grpc_health.v1 import health_pb2

from lorb_client.health import is_serving, main
from support.servers.rescoring_server import ScriptedService, healthy, serving


def test_a_serving_server_is_healthy(target, capsys):
    """SERVING is exit status 0, for the service and by default, without a word."""
    assert is_serving(target)
    assert main([target]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("status", ["NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"])
def test_any_other_state_is_unhealthy(status, capsys):
    """A server that warms up, drains or does not know the service is exit status 1, and a line that says so."""
    service = ScriptedService()
    health = healthy(health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    with serving(service, health=health) as target:
        assert main([target]) == 1
    assert capsys.readouterr() == ("", f"lorb-health: {target} does not serve lorb.v1.RescoringService\n")


def test_an_unknown_service_or_no_server_is_unhealthy(target):
    """NOT_FOUND and a refused connection are unhealthy, not errors."""
    assert not is_serving(target, "lorb.v1.NoSuchService")
    assert not is_serving("127.0.0.1:9", timeout_seconds=0.5)
