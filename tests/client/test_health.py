"""lorb_client.health: distinguishes a serving server from any other."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb_client.health import is_serving, main
from support.servers.rescoring_server import ScriptedService, healthy, serving


def test_a_serving_server_is_healthy(target, capsys):
    """A server that reports SERVING gives exit status 0 and prints nothing."""
    assert is_serving(target)
    assert main(["--target", target]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("status", ["NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"])
def test_any_other_state_is_unhealthy(status, capsys):
    """A server with any other status gives exit status 1 and one line that says so."""
    service = ScriptedService()
    health = healthy(health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    with serving(service, health=health) as target:
        assert main(["--target", target]) == 1
    assert capsys.readouterr() == ("", f"lorb-health: {target} does not serve lorb.v1.RescoringService\n")


@pytest.mark.parametrize("name", ["s" * 127, "s" * 200, "s" * 300, "\N{GREEK SMALL LETTER PI}" * 100])
def test_a_service_name_of_any_length_gets_an_answer(name, capsys):
    """The server gets the whole name: it serves the service, or answers that it does not."""
    health = healthy()
    health.set(name, health_pb2.HealthCheckResponse.SERVING)
    with serving(ScriptedService(), health=health) as target:
        assert is_serving(target, name)
        assert main(["--target", target, f"{name}x"]) == 1
    assert capsys.readouterr().err == f"lorb-health: {target} does not serve {name}x\n"


def test_an_unknown_service_or_no_server_is_unhealthy(target):
    """An unknown service and a refused connection mean unhealthy, and raise no error."""
    assert not is_serving(target, "lorb.v1.NoSuchService")
    assert not is_serving("127.0.0.1:9", timeout_seconds=0.5)


def test_the_target_may_be_positional(target, capsys):
    """`lorb-health HOST:PORT [SERVICE]`, the older spelling, checks the same server and service as --target."""
    assert main([target]) == main([target, "lorb.v1.RescoringService"]) == 0
    for arguments in ([target, "lorb.v1.Other"], ["--target", target, "lorb.v1.Other"]):
        assert main(arguments) == 1
        assert capsys.readouterr().err == f"lorb-health: {target} does not serve lorb.v1.Other\n"


@pytest.mark.parametrize("arguments", [[], ["--target", "h:1", "a", "b"], ["h:1", "a", "b"]])
def test_a_target_and_at_most_one_service_are_accepted(arguments, capsys):
    """Other numbers of arguments end with exit status 2 and name what to give."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "give --target HOST:PORT and at most one SERVICE" in capsys.readouterr().err


class RefusingHealth(health_pb2_grpc.HealthServicer):
    """Refuses each check, as a proxy that asks for rights does."""

    def Check(self, request, context):  # noqa: N802
        """Ends the check with PERMISSION_DENIED."""
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "no right to ask for health")


def test_a_refused_check_says_why(capsys):
    """If the check is refused, the line has the status and the words of the server or proxy."""
    with serving(ScriptedService(), health=RefusingHealth()) as target:
        assert main(["--target", target]) == 1
    assert capsys.readouterr().err == (
        f"lorb-health: {target} does not serve lorb.v1.RescoringService: "
        "PERMISSION_DENIED: no right to ask for health\n"
    )
