"""A store in memory and a scripted loader, for tests of the registry without files or a model."""

import asyncio
from operator import attrgetter

from lorb_adapters.store.aliases import Aliases
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.registry.registry import Registry
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, selected
from support.servers.stub_model import adapter_handle, adapter_weights

ADAPTER_BYTES = adapter_weights(1).size_bytes


def version(number):
    return adapter_handle(number - 1).ref.version


class Catalogue:
    """A store in memory.

    Attributes:
        number: its generation.
        content: versions and aliases by domain.
        errors: raised when the aliases of a domain, or the generation, are read; by name.
        change_tokens: by domain.
        read: the domains whose versions were read, in order.
    """

    def __init__(self):
        self.number = 0
        self.content = {}
        self.errors = {}
        self.change_tokens = {}
        self.read = []

    def set(self, domain, alias, number, share=1e-9):
        versions, aliases = self.content.get(domain, ((), Aliases()))
        share = share if alias == "canary" else None
        self.content[domain] = (
            tuple(dict.fromkeys((*versions, version(number)))),
            aliases.with_alias(alias, version(number), share),
        )
        self.change(domain)

    def change(self, *domains):
        self.number += 1
        for domain in domains:
            self.change_tokens[domain] = str(self.number)

    def change_token(self, domain):
        return self.change_tokens.get(domain)

    def generation(self):
        self._raise("generation")
        return self.number

    def candidate_domains(self):
        return list(self.content)

    def versions(self, domain):
        self.read.append(domain)
        return self.content[domain][0]

    def aliases(self, domain):
        self._raise(domain)
        return self.content[domain][1]

    def _raise(self, what):
        if what in self.errors:
            raise self.errors[what]


class Loader:
    """Loads stand-in adapters.

    Attributes:
        cache: holds the weights that it loads.
        refuses: the error for each version that it refuses.
        gates: events that the loads of a domain wait for, by domain.
        asked: every load so far: domain and version.
    """

    def __init__(self, cache):
        self.cache = cache
        self.refuses = {}
        self.gates = {}
        self.asked = []

    async def __call__(self, domain, wanted):
        self.asked.append((domain, wanted))
        if domain in self.gates:
            await self.gates[domain].wait()
        if wanted in self.refuses:
            raise self.refuses[wanted]
        number = int(wanted.partition("-")[0]) - 1
        adapter = adapter_handle(number, domain)
        self.cache.put(adapter, adapter_weights(number))
        return adapter


def make_parts(room_for=100):
    """A catalogue, a loader whose cache holds `room_for` adapters, and metrics."""
    metrics = Metrics()
    cache = AdapterCache(None, None, metrics.adapters, room_for * ADAPTER_BYTES, size_of=attrgetter("size_bytes"))
    return Catalogue(), Loader(cache), metrics


def make_registry(parts, **settings):
    """A registry of the parts that `make_parts` made."""
    catalogue, load, metrics = parts
    return Registry(catalogue, load, load.cache, metrics, **settings)


def serves(registry, name="voice"):
    """The version that serves a domain, which must be loaded."""
    return selected(registry, name).ref.version


def run_registry(test, *, room_for=100, **settings):
    """Runs the coroutine `test(registry, catalogue, load, metrics)`; no task may be left afterwards."""

    async def with_registry():
        parts = make_parts(room_for)
        registry = make_registry(parts, **settings)
        async with asyncio.timeout(WAIT_SECONDS):
            await test(registry, *parts)
            await registry.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(with_registry())


async def served_version(registry, domain, key="caller"):
    """The version that answers a call, after loading it if it is cold."""
    return (await registry.route(domain, key)).adapter.ref.version
