"""lorb_client.channel: behaviour of the channel on real connections."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from lorb.errors import Unavailable
from lorb_client import AioClient, Client
from lorb_client.calls import CallSettings
from lorb_client.channel import CHANNEL_OPTIONS, SERVICE, SERVICE_CONFIG
from lorb_client.health import is_serving
from lorb_client.load.call_outcome import Connections
from support.servers.rescoring_server import INFO, ScriptedService, healthy, serving


def test_only_unavailable_is_retried_and_at_most_twice():
    """The retry policy allows three attempts for UNAVAILABLE, with throttling."""
    (method,) = json.loads(dict(CHANNEL_OPTIONS)["grpc.service_config"])["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert method["retryPolicy"]["maxAttempts"] == 3
    assert SERVICE_CONFIG["retryThrottling"] == {"maxTokens": 200, "tokenRatio": 0.1}


def test_keepalive_stays_within_servers_limits():
    """Keepalive pings are sent at most once a minute, and only during calls."""
    options = dict(CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] >= 60_000
    assert options["grpc.keepalive_permit_without_calls"] == 0


@pytest.fixture
def proxy(monkeypatch):
    """A port that http_proxy names."""
    for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield listener


def blocking_call(target):
    with Client(target, timeout_seconds=20, token="sekrit") as client:
        assert client.server_info() == INFO


def asyncio_call(target):
    async def call():
        async with AioClient(target, timeout_seconds=20, token="sekrit") as client:
            assert await client.server_info() == INFO

    asyncio.run(call())


def load_connection(target):
    async def connect():
        connections = Connections(CallSettings(target, token="sekrit"), 1)
        await connections.open(20)
        await connections.close()

    asyncio.run(connect())


def health_check(target):
    assert is_serving(target, timeout_seconds=20)


@pytest.mark.parametrize("way", [blocking_call, asyncio_call, load_connection, health_check])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_loopback_targets_bypass_a_proxy(proxy, target, way, host):
    """Calls to loopback targets do not use the proxy in http_proxy."""
    way(f"{host}:{target.rpartition(':')[2]}")
    proxy.setblocking(False)
    with pytest.raises(BlockingIOError):
        proxy.accept()


def test_calls_are_balanced_between_servers(sample_lists):
    """Two servers behind one target both get calls."""
    first, second = ScriptedService(), ScriptedService()
    with (
        serving(first) as one,
        serving(second) as other,
        Client(f"ipv4:{one},{other}", wait_for_ready=True) as client,
    ):
        for _ in range(200):  # until both are connected
            client.rescore(sample_lists[0], timeout_seconds=10)
            if first.calls and second.calls:
                break
    assert first.calls
    assert second.calls


def test_all_calls_of_a_lost_server_are_retried_elsewhere(service, sample_lists):
    """All twenty calls on a server that is killed are answered by another server."""
    script = Path(__file__).parents[1] / "support/servers/holding_server.py"
    with (
        subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as lost,  # noqa: S603
        serving(service, threads=64) as there,
    ):
        address, arrived, answers = lost.stdout.readline().strip(), [], []
        reader = threading.Thread(target=lambda: arrived.extend(lost.stdout))
        reader.start()
        with Client(f"ipv4:{address},{there}", wait_for_ready=True) as client, ThreadPoolExecutor(64) as callers:
            while len(arrived) < 20:
                answers.append(callers.submit(client.rescore, sample_lists[0], timeout_seconds=60))
                time.sleep(0.02)
            lost.kill()
            assert all(answer.result().hypotheses for answer in answers)
        reader.join()


def test_a_server_that_is_not_healthy_gets_no_calls(service, sample_lists):
    """A server that reports NOT_SERVING gets no calls until it reports SERVING."""
    health = healthy(HealthCheckResponse.NOT_SERVING)
    with serving(service, health=health) as address:
        with Client(address) as client, pytest.raises(Unavailable):
            client.rescore(sample_lists[0], timeout_seconds=10)
        assert service.calls == []
        health.set(SERVICE, HealthCheckResponse.SERVING)
        with Client(address, wait_for_ready=True) as client:
            client.rescore(sample_lists[0], timeout_seconds=10)
    assert service.methods() == ["Rescore"]
