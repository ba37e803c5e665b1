"""Fixtures of the server tests: stores, running servers, and the parts of a registry."""

import asyncio
import logging

import pytest

from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.store.store import Store
from support.adapters.catalogue import make_parts
from support.adapters.publications import make_publication
from support.engine.rescorer_bench import Bench
from support.servers.held_server import HeldServer
from support.servers.serving import WAIT_SECONDS, running_server


@pytest.fixture(scope="session")
def publishing_base(tiny_bert) -> Base:
    """The tiny BERT base as a trainer loads it, never shared with a running server."""
    return load_base(str(tiny_bert))


@pytest.fixture
def store(tmp_path, publishing_base) -> Store:
    """A store with one stable version of the domain `voice`."""
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
    return store


@pytest.fixture(scope="session")
def shared_store(publishing_base, tmp_path_factory) -> Store:
    """A store with one stable version of `voice`, for tests that do not change it."""
    store = Store(str(tmp_path_factory.mktemp("shared-store")))
    store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
    return store


@pytest.fixture(scope="module")
def server(tiny_bert, publishing_base, tmp_path_factory):
    """A server of `voice`, shared by a module's tests, which leave it unchanged."""
    folder = tmp_path_factory.mktemp("shared-store")
    store = Store(str(folder))
    store.publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
    with running_server(tiny_bert, folder) as server:
        yield server


@pytest.fixture
def held(tiny_bert, store):
    """A server whose model a test can hold, without a score cache."""
    with running_server(tiny_bert, store.url, score_cache_bytes=0, workers=1) as server:
        held = HeldServer(server)
        yield held
        held.model.gate.set()
        held.callers.shutdown()


@pytest.fixture
def parts():
    """The parts of a registry: an in-memory store, a scripted loader, and metrics."""
    return make_parts()


@pytest.fixture
def run(publishing_base):
    """Runs `test(bench)` with a rescorer's Bench on its own event loop."""

    def runs(test, *, max_queue_tokens=1000, cache_bytes=0):
        async def with_bench():
            bench = Bench(publishing_base.text_encoder, max_queue_tokens, cache_bytes)
            bench.engine.start()
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await test(bench)
            finally:
                bench.model.gate.set()
                await bench.engine.close()
                bench.threads.shutdown()

        asyncio.run(with_bench())

    return runs


@pytest.fixture
def restored_logs():
    """Restores the loggers after the test."""
    root, grpc_log = logging.getLogger(), logging.getLogger("grpc")
    before = (root.handlers[:], root.level, grpc_log.level)
    yield
    root.handlers[:], level, grpc_level = before
    root.setLevel(level)
    grpc_log.setLevel(grpc_level)
