"""lorb_server.rpc.tokens: token files, and the calls that they admit."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput
from lorb.v1 import admin_pb2 as pb
from lorb.v1 import rescoring_pb2
from lorb_server.rpc.callers import RELOAD_CHECK_SECONDS, Caller
from lorb_server.rpc.tokens import TokenFile, check_tokens, read_tokens
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, SimulatedClock, running_server


def token_file(path):
    return CredentialFile(path, "token_file", "--token-file")


def names(path, default_name=""):
    return sorted(caller.name for caller in read_tokens(token_file(path), default_name=default_name).values())


def opened(path, **arguments):
    return TokenFile(token_file(path), Metrics().callers, read_seconds=WAIT_SECONDS, **arguments)


def caller_of(tokens, token):
    return asyncio.run(tokens.caller_of(token))


def test_tokens_are_mapped_to_caller_names(tmp_path):
    """A caller may have several tokens; comments and empty lines are skipped."""
    tokens = tmp_path / "tokens"
    tokens.write_text("# decoders\nkiosk: old-token \n\n kiosk:new-token\ncar:a:b\n")
    assert names(tokens) == ["car", "kiosk", "kiosk"]
    assert caller_of(opened(tokens), "a:b") == Caller("car")


def test_admin_tokens_need_no_name(tmp_path):
    """With a default name, a line may be a token alone."""
    (tmp_path / "tokens").write_text("old-token \n\n alice:new-token\n")
    assert names(tmp_path / "tokens", "operator") == ["alice", "operator"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "holds no token"),
        ("\n \n# kiosk:abc\n", "holds no token"),
        ("kiosk:one Two words\n", ":1: what follows the name or token is not domains"),
        ("kiosk:one voice,\n", ":1: what follows the name or token is not domains"),
        ("kiosk:same voice\nkiosk:same radio\n", ":2: an earlier line gives this token to another caller"),
        ("kiosk:a\nabc\n", ":2: this line is not NAME:TOKEN"),
        ("Kiosk 7:a\n", ":1: the caller"),
        ("kiosk:\n", ":1: the token is not one word"),
        ("kiosk:schlüssel\n", ":1: the token is not one word"),
        ("kiosk:same\ncar:same\n", ":2: an earlier line gives this token to another caller"),
    ],
)
def test_a_file_with_invalid_tokens_is_refused(tmp_path, content, words):
    """The error names the flag, the file and the line, and never contains a token."""
    if content is not None:
        (tmp_path / "tokens").write_text(content)
    with pytest.raises(InvalidInput, match="--token-file") as caught:
        check_tokens(token_file(tmp_path / "tokens"))
    assert words in caught.value.message
    assert not any(secret in caught.value.message for secret in ("Two words", "schlüssel", "same\n", "abc"))


def test_an_admin_token_has_no_domains(tmp_path):
    """An admin token with a blank is refused: admin tokens are for all domains."""
    (tmp_path / "tokens").write_text("alice:two words\n")
    with pytest.raises(InvalidInput, match="the token is not one word"):
        check_tokens(token_file(tmp_path / "tokens"), default_name="operator")


def test_tokens_are_kept_as_digests(tmp_path):
    """A TokenFile holds no token in clear text."""
    (tmp_path / "tokens").write_text("kiosk:very-secret\n")
    kept = opened(tmp_path / "tokens")
    assert caller_of(kept, "very-secret") == Caller("kiosk")
    assert "very-secret" not in repr((vars(kept), vars(kept._callers)))


def test_a_changed_file_is_reloaded(tmp_path):
    """A changed file applies within a second; an invalid or missing file changes nothing."""
    path, clock = tmp_path / "tokens", SimulatedClock()
    path.write_text("kiosk:first\n")
    tokens = opened(path, clock=clock)

    def known():
        clock.now += RELOAD_CHECK_SECONDS
        return [token for token in ("first", "second", "third") if caller_of(tokens, token)]

    path.write_text("kiosk:second\n# no longer the first\n")
    assert caller_of(tokens, "first") == Caller("kiosk")  # until the next check
    assert known() == ["second"]
    path.write_text("torn")
    assert known() == ["second"]
    path.unlink()
    assert known() == ["second"]
    path.write_text("kiosk:third\n")
    assert known() == ["third"]


def test_an_emptied_file_closes_the_door(tmp_path, caplog):
    """Once the token file is empty no token is valid, and the log says so."""
    path, clock = tmp_path / "tokens", SimulatedClock()
    path.write_text("kiosk:first\n")
    tokens = opened(path, clock=clock)
    path.write_text("# nobody\n")
    clock.now += RELOAD_CHECK_SECONDS
    assert caller_of(tokens, "first") is None
    assert "the token file holds no token: no token is valid" in caplog.messages


def test_a_file_that_was_never_usable_closes_the_door(tmp_path, caplog):
    """A front that starts again over a broken token file counts and logs it, knows no token, and reads a mended one."""
    path, clock, metrics = tmp_path / "tokens", SimulatedClock(), Metrics()
    path.write_text("torn")
    tokens = TokenFile(token_file(path), metrics.callers, read_seconds=WAIT_SECONDS, clock=clock)
    assert caller_of(tokens, "torn") is None
    clock.now += RELOAD_CHECK_SECONDS
    assert caller_of(tokens, "torn") is None
    labels = {"setting": "token_file", "reason": "unusable"}
    assert metrics.registry.get_sample_value("lorb_credential_errors_total", labels) == 2
    assert caplog.messages == ["a credential file is not usable: all calls are refused"]
    path.write_text("kiosk:first\n")
    clock.now += RELOAD_CHECK_SECONDS
    assert caller_of(tokens, "first") == Caller("kiosk")


@pytest.fixture(scope="module")
def guarded(tiny_bert, tmp_path_factory):
    """A server that requires tokens, one set for callers and one for operators."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "admins").write_text("one\nalice:two\n")
    (folder / "callers").write_text("kiosk:three\n")
    files = {"admin_token_file": str(folder / "admins"), "token_file": str(folder / "callers")}
    with running_server(tiny_bert, folder, **files) as server:
        yield server


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def list_adapters(server, metadata):
    server.admin.ListAdapters(pb.ListAdaptersRequest(), metadata=metadata, timeout=WAIT_SECONDS)


def get_info(server, metadata):
    server.stub.GetServerInfo(rescoring_pb2.GetServerInfoRequest(), metadata=metadata, timeout=WAIT_SECONDS)


def reflect(server, metadata):
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    list(stub.ServerReflectionInfo(requests, metadata=metadata, timeout=WAIT_SECONDS))


@pytest.mark.parametrize(
    ("call", "token"), [(list_adapters, "one"), (list_adapters, "two"), (get_info, "three"), (reflect, "three")]
)
def test_each_valid_token_is_accepted(guarded, call, token):
    """Several tokens are valid at once, on both ports."""
    call(guarded, bearer(token))


@pytest.mark.parametrize(
    ("call", "metadata"),
    [
        *((call, ()) for call in (list_adapters, get_info, reflect)),
        *((call, bearer("four")) for call in (list_adapters, get_info, reflect)),
        *((call, bearer("")) for call in (list_adapters, get_info)),
        (list_adapters, (("authorization", "one"),)),
        (get_info, (("authorization", "three"),)),
        (list_adapters, bearer("three")),
        (get_info, bearer("one")),
    ],
)
def test_calls_without_a_valid_token_are_unauthenticated(guarded, call, metadata):
    """A missing or unknown token, another scheme, or a token for the other port is UNAUTHENTICATED."""
    with pytest.raises(grpc.RpcError) as caught:
        call(guarded, metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "token" in caught.value.details().lower()
    info = ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "UNAUTHENTICATED"


def test_refused_calls_are_counted(guarded):
    """Refused calls are counted by reason: no_token or wrong_token."""
    before = {
        why: guarded.sample("lorb_unauthenticated_calls_total", reason=why) for why in ("no_token", "wrong_token")
    }
    for metadata in ((), bearer("four"), bearer("five")):
        with pytest.raises(grpc.RpcError):
            get_info(guarded, metadata)
    after = {why: guarded.sample("lorb_unauthenticated_calls_total", reason=why) for why in before}
    assert {why: after[why] - before[why] for why in before} == {"no_token": 1, "wrong_token": 2}


@pytest.mark.parametrize("tokens", [("three", "three"), ("three", "wrong"), ("wrong", "three")])
def test_two_authorization_headers_are_refused(guarded, tokens):
    """A call with two authorization headers is UNAUTHENTICATED, whichever of them is valid."""
    before = guarded.sample("lorb_unauthenticated_calls_total", reason="several_tokens")
    with pytest.raises(grpc.RpcError) as caught:
        get_info(guarded, (*bearer(tokens[0]), *bearer(tokens[1])))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "2 'authorization' headers" in caught.value.details()
    assert guarded.sample("lorb_unauthenticated_calls_total", reason="several_tokens") - before == 1


def test_health_needs_a_token_only_on_the_admin_port(guarded):
    """Health on the port for calls needs no token, health on the admin port does."""
    request = health_pb2.HealthCheckRequest()
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(guarded.admin_channel).Check(request, timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answer = health_pb2_grpc.HealthStub(guarded.channel).Check(request, timeout=WAIT_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_an_operators_name_is_in_the_audit_line(guarded, caplog):
    """The log line of an admin call has the operator's name and the method."""
    caplog.set_level("INFO")
    guarded.admin.RefreshRegistry(pb.RefreshRegistryRequest(), metadata=bearer("two"), timeout=WAIT_SECONDS)
    [line] = [record for record in caplog.records if record.message == "admin call"]
    assert line.fields["caller"] == "alice"
    assert line.fields["method"] == "RefreshRegistry"
