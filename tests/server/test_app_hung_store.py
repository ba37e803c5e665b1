"""lorb_server.app: a server whose store hangs, at its start, while it serves, and at its end."""

import time
import uuid

import grpc
import pytest

pytest.importorskip("s3fs", reason="no s3fs: pip install '.[s3]'")
pytest.importorskip("moto", reason="no moto: its server speaks S3")

import s3fs

from lorb.errors import StoreUnavailable
from lorb.v1 import admin_pb2
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.store.store import Store
from lorb_server.config import ServeConfig
from lorb_server.parts import load_parts
from support.adapters.publications import make_publication
from support.servers.health_checks import NOT_SERVING, SERVING, health_of
from support.servers.s3_server import s3_server
from support.servers.serving import WAIT_SECONDS, lorb_serve, running_server


@pytest.fixture
def hanging_store(monkeypatch, publishing_base):
    """An S3 server, which a test can make hang, and the URL of its store of one domain."""
    with s3_server(monkeypatch.setenv) as s3:
        bucket = f"hanging-{uuid.uuid4().hex}"  # moto keeps its buckets for all tests
        s3fs.S3FileSystem().mkdir(bucket)
        url = f"s3://{bucket}"
        Store(url).publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
        yield s3, url


def until(condition):
    """Returns when `condition()` is true."""
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_store_that_hangs_is_counted_and_holds_up_neither_calls_nor_operators_nor_the_end(hanging_store, tiny_bert):
    """While the store hangs, its error is counted, calls are answered, operators get an error, and a stop ends it."""
    s3, url = hanging_store
    with running_server(tiny_bert, url, store_timeout_seconds=0.3) as server:
        s3.gate.clear()
        until(lambda: server.sample("lorb_registry_errors_total") > 3)
        assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
        for call, request in (
            (server.admin.GetAdapter, admin_pb2.GetAdapterRequest(domain="voice")),
            (server.admin.RefreshRegistry, admin_pb2.RefreshRegistryRequest()),
            (server.admin.Rollback, admin_pb2.RollbackRequest(domain="voice")),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=WAIT_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        [info] = server.admin.ListAdapters(admin_pb2.ListAdaptersRequest(), timeout=WAIT_SECONDS).adapters
        assert info.state == admin_pb2.ADAPTER_STATE_READY
        server._loop.call_soon_threadsafe(server.app.stop)
        assert server.join() == 0


def test_a_store_that_answers_again_is_followed_again(hanging_store, tiny_bert, publishing_base):
    """After the store has hung and answers again, the server serves what was published since."""
    s3, url = hanging_store
    with running_server(tiny_bert, url, store_timeout_seconds=0.3) as server:
        s3.gate.clear()
        until(lambda: server.sample("lorb_registry_errors_total"))
        s3.gate.set()
        newest = Store(url).publish(make_publication(publishing_base, "voice", seed=2), set_stable=True)
        until(lambda: server.rescore("the cat", "a cat").adapter.version == newest)


def test_a_store_that_hangs_at_the_start_is_an_error(hanging_store, tiny_bert):
    """A server whose store does not answer does not start, and says so."""
    s3, url = hanging_store
    s3.gate.clear()
    config = ServeConfig(base=str(tiny_bert), store=url, store_timeout_seconds=0.1, device="cpu")
    with pytest.raises(StoreUnavailable, match="has not answered"):
        load_parts(config)


def test_the_process_ends_although_a_read_of_the_store_never_returns(hanging_store, tiny_bert, tmp_path):
    """lorb-serve exits with 0 on SIGTERM while a thread still waits for the store."""
    s3, url = hanging_store
    with lorb_serve(tiny_bert, url, tmp_path, poll_seconds=0.01) as (process, _):
        s3.gate.clear()
        s3.entered.clear()
        assert s3.entered.wait(WAIT_SECONDS)
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0


def test_a_server_of_too_few_domains_is_not_serving(tiny_bert, publishing_base, tmp_path):
    """With --minimum-domains, health is NOT_SERVING until so many domains are served; it stays SERVING afterwards."""
    store = Store(str(tmp_path))
    with running_server(tiny_bert, tmp_path, minimum_domains=1) as server:
        assert health_of(server.channel) == NOT_SERVING
        store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
        until(lambda: health_of(server.channel) == SERVING)
        (tmp_path / "voice").rename(tmp_path / ".voice")
        store.publish(make_publication(publishing_base, "radio", seed=1), set_stable=True)
        until(lambda: server.app.registry.served_domains() == ["radio"])
        assert health_of(server.channel) == SERVING
