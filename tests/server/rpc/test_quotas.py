"""lorb_server.rpc.quotas: lists in flight and lists per second of each caller."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from lorb.errors import InvalidInput, Overloaded
from lorb.v1 import rescoring_pb2 as pb
from lorb_client import Client, Tls
from lorb_server.config import ServeConfig
from lorb_server.rpc.quotas import Quotas
from support.servers.certificates import Authority
from support.servers.serving import WAIT_SECONDS, SimulatedClock, running_server, scored_list


def test_lists_in_flight_are_limited_per_caller():
    """Each caller has its own limit of lists in flight, and ended lists make room."""
    quotas = Quotas(3, 0)
    quotas.acquire("kiosk", 2)
    quotas.acquire("car", 3)
    quotas.acquire("kiosk", 1)
    with pytest.raises(Overloaded, match="'kiosk' has 3 lists in flight"):
        quotas.acquire("kiosk", 1)
    quotas.release("kiosk", 2)
    quotas.acquire("kiosk", 2)


def test_a_batch_beyond_the_limit_is_admitted_alone():
    """A batch larger than the limit is admitted if its caller has no other list in flight."""
    quotas = Quotas(3, 0)
    quotas.acquire("kiosk", 10)
    with pytest.raises(Overloaded):
        quotas.acquire("kiosk", 1)
    quotas.release("kiosk", 10)
    quotas.acquire("kiosk", 1)
    with pytest.raises(Overloaded):
        quotas.acquire("kiosk", 10)


def test_lists_per_second_are_limited_on_average():
    """One second's lists may come at once, then lists at the limit's rate; a large batch delays the next lists."""
    clock = SimulatedClock()
    quotas = Quotas(0, 10.0, clock=clock)

    def taken(num_lists=1):
        try:
            quotas.acquire("kiosk", num_lists)
        except Overloaded:
            return False
        quotas.release("kiosk", num_lists)
        return True

    assert [taken() for _ in range(12)] == [True] * 10 + [False] * 2
    clock.now += 0.5
    assert [taken() for _ in range(6)] == [True] * 5 + [False]
    clock.now += 100.0
    assert taken(30)
    clock.now += 1.9
    assert not taken()
    clock.now += 0.3
    assert taken()


@pytest.mark.parametrize("max_lists_per_second", [10.0, 0.0])
def test_idle_callers_are_forgotten(max_lists_per_second):
    """The number of remembered callers stays bounded, whatever names certificates have."""
    clock = SimulatedClock()
    quotas = Quotas(5, max_lists_per_second, clock=clock)
    quotas.acquire("stays", 1)
    for i in range(5000):
        clock.now += 1.0
        quotas.acquire(f"device-{i}", 1)
        quotas.release(f"device-{i}", 1)
    assert len(quotas._usages) <= 1001
    quotas.release("stays", 1)


@pytest.fixture
def limited(tiny_bert, store, tmp_path):
    """A server on which each caller may have two lists in flight."""
    (tmp_path / "tokens").write_text("kiosk:one\ncar:two\n")
    with running_server(
        tiny_bert,
        store.url,
        token_file=str(tmp_path / "tokens"),
        max_caller_lists=2,
        score_cache_bytes=0,
        workers=1,
    ) as server:
        yield server


def test_a_caller_over_its_limit_gets_a_retry_delay(limited):
    """A caller over its limit gets RESOURCE_EXHAUSTED with RetryInfo; other callers are not affected."""
    entered, release = threading.Event(), threading.Event()

    def hold():
        entered.set()
        assert release.wait(WAIT_SECONDS)

    async def held():
        return await limited.app.engine.run_on_worker(hold)

    def called(token, *texts):
        return limited.rescore(*texts, metadata=(("authorization", f"Bearer {token}"),))

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(limited.do, held)
        assert entered.wait(WAIT_SECONDS)
        waiting = [pool.submit(called, "one", "the cat", f"a cat {i}") for i in range(2)]
        until_admitted(limited, "kiosk", 2)
        with pytest.raises(grpc.RpcError) as caught:
            called("one", "the cat", "the dog")
        other = pool.submit(called, "two", "the cat", "the dog")
        until_admitted(limited, "car", 1)
        release.set()
        holding.result()
        assert [each.result().outcome for each in [*waiting, other]] == [pb.OUTCOME_RESCORED] * 3
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(caught.value).details)
    assert retry.retry_delay.ToTimedelta().total_seconds() > 0
    assert limited.sample("lorb_caller_lists_total", caller="kiosk", result="limited") == 1
    assert called("one", "the cat", "the dog").outcome == pb.OUTCOME_RESCORED


def until_admitted(server, caller, number):
    """Returns when `number` lists of a caller have been admitted."""
    for _ in range(int(WAIT_SECONDS / 0.01)):
        if server.sample("lorb_caller_lists_total", caller=caller, result="admitted") == number:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{caller} has fewer than {number} lists in flight")


def test_a_certificate_names_its_caller(tiny_bert, store, tmp_path):
    """Lists are counted by the common name of the certificate, each list of a batch too."""
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server")
    files = {"tls_certificate": str(certificate), "tls_key": str(key), "tls_client_ca": str(authority.path)}
    with running_server(tiny_bert, store.url, **files) as server:
        tls = Tls(authority.path, *authority.issue("decoder-7"))
        with Client(server.target, timeout_seconds=WAIT_SECONDS, tls=tls) as client:
            client.rescore_batch([scored_list("the cat", "a cat")] * 3)
        assert server.sample("lorb_caller_lists_total", caller="decoder-7", result="admitted") == 3


@pytest.mark.parametrize("field", ["max_caller_lists", "max_caller_lists_per_second"])
def test_limits_need_names_and_one_process(field):
    """Quotas need tokens or client certificates, and are refused with front processes."""
    with pytest.raises(InvalidInput, match="--token-file or --tls-client-ca") as caught:
        ServeConfig(**{field: 3})
    assert caught.value.field == field
    with pytest.raises(InvalidInput, match="--front-processes"):
        ServeConfig(**{field: 3}, token_file="t", front_processes=2)
