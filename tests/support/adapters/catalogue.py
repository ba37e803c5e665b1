"""A store in memory and a loader that does as it is told, for a registry without files or a model."""

from lorb_adapters.store.aliases import Aliases
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.registry.registry import Registry
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import adapter_handle, adapter_weights, selected

ADAPTER_BYTES = adapter_weights(1).served_bytes


def version(number):
    return adapter_handle(number - 1).ref.version


class Catalogue:
    """A store in memory."""

    def __init__(self):
        self.number = 0
        self.content = {}
        self.trouble = {}
        self.stamps = {}
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
            self.stamps[domain] = str(self.number)

    def change_token(self, domain):
        return self.stamps.get(domain)

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
        if what in self.trouble:
            raise self.trouble[what]


class Loader:
    """Loads stand-ins, and refuses the versions it is told to, or waits at a gate."""

    def __init__(self, residents):
        self.residents = residents
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
        self.residents.put(adapter, adapter_weights(number))
        return adapter


ADAPTER_BYTES = adapter_weights(1).served_bytes


def make_parts(room_for=100):
    """A catalogue, a loader whose residents hold so many adapters, and metrics."""
    metrics = Metrics()
    residents = AdapterCache(None, None, metrics.adapters, room_for * ADAPTER_BYTES)
    return Catalogue(), Loader(residents), metrics


def make_registry(parts, **settings):
    """A registry of these parts."""
    catalogue, load, metrics = parts
    return Registry(catalogue, load, load.residents, metrics, **settings)


def serves(registry, name="voice"):
    """The version that a name is served by."""
    return selected(registry, name).ref.version
