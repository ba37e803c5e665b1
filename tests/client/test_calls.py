"""lorb_client.calls: invalid settings are refused when the client is created."""

import math

import grpc
import pytest

from lorb.errors import InvalidInput
from lorb_client.access import Tls
from lorb_client.calls import CallSettings
from lorb_server.config import ServeConfig


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_deadline_is_finite_and_above_0(seconds):
    """A deadline that is not finite and above 0 is refused."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("localhost:1", seconds)
    assert caught.value.field == "timeout_seconds"


def test_a_calls_own_deadline_wins():
    """A call's own deadline takes precedence over the default."""
    settings = CallSettings("localhost:1", 2.0)
    assert (settings.deadline_seconds(None), settings.deadline_seconds(0.5)) == (2.0, 0.5)
    with pytest.raises(InvalidInput):
        settings.deadline_seconds(0)


@pytest.mark.parametrize("token", ["", "a\nb", "schlüssel", "a\x00"])
def test_a_token_is_one_line_of_ascii(token):
    """A token that is not one line of ASCII is refused and not repeated in the message."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("localhost:1", token=token)
    assert caught.value.field == "token"
    assert not token or token not in caught.value.message


def test_a_token_travels_as_a_bearer_token():
    """The token is sent as a bearer token, and without one there is no metadata."""
    assert CallSettings("localhost:1", token="abc").metadata == (("authorization", "Bearer abc"),)
    assert CallSettings("localhost:1").metadata == ()


def test_a_target_is_needed():
    """An empty target is refused."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("")
    assert caught.value.field == "target"


@pytest.mark.parametrize(
    "target", ["10.0.0.7:50051", "lorb.example:50051", "dns:///lorb:50051", "ipv4:127.0.0.1:1,10.0.0.7:1"]
)
def test_a_token_does_not_leave_the_machine_in_clear_text(target):
    """A token for a remote target needs TLS or explicit permission, and is not repeated in the message."""
    with pytest.raises(InvalidInput, match="clear text") as caught:
        CallSettings(target, token="very-secret")
    assert caught.value.field == "token"
    assert "very-secret" not in caught.value.message
    CallSettings(target, token="abc", allow_plaintext_token=True)
    CallSettings(target, token="abc", tls=Tls())
    CallSettings(target)


def test_tls_and_credentials_exclude_each_other():
    """Both tls and credentials are refused."""
    with pytest.raises(InvalidInput, match="give one"):
        CallSettings("localhost:1", tls=Tls(), credentials=grpc.ssl_channel_credentials())


def test_the_default_deadline_of_batches_is_the_servers():
    """A batch without deadline has as much time as the server gives it, unless the caller gave a deadline."""
    assert CallSettings("localhost:1").batch_deadline_seconds(None) == ServeConfig.default_bulk_deadline_seconds
    assert CallSettings("localhost:1", 90.0).batch_deadline_seconds(None) == 90.0
    assert CallSettings("localhost:1", 5.0).batch_deadline_seconds(None) == 5.0
    assert CallSettings("localhost:1", 90.0, batch_timeout_seconds=5.0).batch_deadline_seconds(None) == 5.0
    assert CallSettings("localhost:1", batch_timeout_seconds=5.0).batch_deadline_seconds(None) == 5.0
    with pytest.raises(InvalidInput):
        CallSettings("localhost:1", batch_timeout_seconds=math.nan)
