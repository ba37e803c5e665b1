"""lorb_client.calls: settings that make no sense are refused when the client is made."""

import math

import grpc
import pytest

from lorb.errors import InvalidInput
from lorb_client.access import Tls
from lorb_client.calls import CallSettings


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_deadline_is_finite_and_above_0(seconds):
    """A call without a deadline could wait for ever."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("localhost:1", seconds)
    assert caught.value.field == "timeout_seconds"


def test_a_calls_own_deadline_wins():
    """The settings' deadline is for calls that name none."""
    settings = CallSettings("localhost:1", 2.0)
    assert (settings.deadline_seconds(None), settings.deadline_seconds(0.5)) == (2.0, 0.5)
    with pytest.raises(InvalidInput):
        settings.deadline_seconds(0)


@pytest.mark.parametrize("token", ["", "a\nb", "schlüssel", "a\x00"])
def test_a_token_is_one_line_of_ascii(token):
    """What an HTTP header cannot carry is refused by name, and not repeated in the message."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("localhost:1", token=token)
    assert caught.value.field == "token"
    assert not token or token not in caught.value.message


def test_a_token_travels_as_a_bearer_token():
    """And without one no such header is sent."""
    assert CallSettings("localhost:1", token="abc").metadata == (("authorization", "Bearer abc"),)
    assert CallSettings("localhost:1").metadata == ()


def test_a_target_is_needed():
    """Otherwise gRPC would try to resolve the empty name."""
    with pytest.raises(InvalidInput) as caught:
        CallSettings("")
    assert caught.value.field == "target"


@pytest.mark.parametrize(
    "target", ["10.0.0.7:50051", "lorb.example:50051", "dns:///lorb:50051", "ipv4:127.0.0.1:1,10.0.0.7:1"]
)
def test_a_token_does_not_leave_the_machine_in_clear_text(target):
    """Unless the caller says so, or TLS is on; without a token plain text is nobody's secret."""
    with pytest.raises(InvalidInput, match="clear text") as caught:
        CallSettings(target, token="very-secret")
    assert caught.value.field == "token"
    assert "very-secret" not in caught.value.message
    CallSettings(target, token="abc", allow_plaintext_token=True)
    CallSettings(target, token="abc", tls=Tls())
    CallSettings(target)


def test_tls_and_credentials_are_one_too_many():
    """Nobody could tell which of them is meant."""
    with pytest.raises(InvalidInput, match="give one"):
        CallSettings("localhost:1", tls=Tls(), credentials=grpc.ssl_channel_credentials())
