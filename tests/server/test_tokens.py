"""The admin service's tokens."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from lorb.errors import InvalidInput
from lorb.v1 import admin_pb2 as pb
from lorb_server.tokens import read_tokens
from serving import WAIT_SECONDS, running_server


def test_tokens_are_read_one_a_line(tmp_path):
    """White space around them and empty lines do not count."""
    (tmp_path / "tokens").write_text("old-token \n\n new-token\n")
    assert read_tokens(str(tmp_path / "tokens")) == (b"old-token", b"new-token")


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_a_file_without_tokens_is_refused(tmp_path, content):
    """An empty file would otherwise lock everybody out, or in."""
    if content is not None:
        (tmp_path / "tokens").write_text(content)
    with pytest.raises(InvalidInput, match="--admin-token-file"):
        read_tokens(str(tmp_path / "tokens"))


@pytest.fixture(scope="module")
def guarded(tiny_bert, tmp_path_factory):
    """A server whose admin service wants a token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text("one\ntwo\n")
    with running_server(tiny_bert, folder, admin_token_file=str(folder / "tokens")) as server:
        yield server


@pytest.mark.parametrize("token", ["one", "two"])
def test_each_token_opens(guarded, token):
    """Several work at once, so that they can be rotated."""
    metadata = (("authorization", f"Bearer {token}"),)
    guarded.admin.ListAdapters(pb.ListAdaptersRequest(), metadata=metadata, timeout=WAIT_SECONDS)


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer three"),), (("authorization", "one"),), (("authorization", "Bearer "),)],
)
def test_without_a_token_nothing_is_told(guarded, metadata):
    """No token, a wrong one, or another scheme: UNAUTHENTICATED."""
    with pytest.raises(grpc.RpcError) as caught:
        guarded.admin.ListAdapters(pb.ListAdaptersRequest(), metadata=metadata, timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    info = ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "UNAUTHENTICATED"


def test_the_token_guards_the_whole_admin_port(guarded):
    """Health and reflection too; the data port's health stays open."""
    request = health_pb2.HealthCheckRequest()
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(guarded.admin_channel).Check(request, timeout=WAIT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answer = health_pb2_grpc.HealthStub(guarded.channel).Check(request, timeout=WAIT_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
