"""lorb_server.registry.registry: refreshes, their listeners, and store errors."""

import asyncio

import pytest

from lorb.errors import StoreUnavailable
from support.adapters.catalogue import make_registry, serves, version


def test_an_unreadable_domain_does_not_affect_the_others(parts):
    """A domain that is not readable keeps its version and is read again; the other domains follow the store."""
    catalogue, _, metrics = parts
    catalogue.set("radio", "stable", 1)
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.try_refresh()
        catalogue.set("radio", "stable", 2)
        catalogue.set("voice", "stable", 2)
        catalogue.errors["radio"] = StoreUnavailable("radio/aliases.json is torn")
        await registry.try_refresh()
        assert (serves(registry, "radio"), serves(registry, "voice")) == (version(1), version(2))
        assert metrics.registry.get_sample_value("lorb_registry_errors_total") == 1
        catalogue.errors.clear()
        await registry.try_refresh()
        assert serves(registry, "radio") == version(2)

    asyncio.run(test())


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), RuntimeError("a bug")])
def test_an_unreadable_store_changes_nothing(parts, trouble):
    """After any error of the store, the loaded versions keep serving."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.try_refresh()
        catalogue.errors["generation"] = trouble
        await registry.try_refresh()
        assert serves(registry) == version(1)

    asyncio.run(test())


def test_polling_follows_the_store(parts):
    """Polling serves a new version without a request for it."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        polling = asyncio.create_task(registry.poll(0.001))
        async with asyncio.timeout(10):
            while not registry.domains.get("voice").loaded:
                await asyncio.sleep(0.001)
            catalogue.set("voice", "stable", 2)
            while serves(registry) != version(2):
                await asyncio.sleep(0.001)
        polling.cancel()

    asyncio.run(test())


def test_only_changed_domains_are_read_again(parts):
    """A flip of one domain among fifty reads that domain, loads one version, and leaves the other snapshots alone."""
    catalogue, load, _ = parts
    names = [f"domain-{number}" for number in range(50)]
    for name in names:
        catalogue.set(name, "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        before = dict(registry.domains.by_name)
        catalogue.read.clear()
        load.asked.clear()
        catalogue.set("domain-7", "stable", 2)
        refreshed = await registry.refresh()
        assert refreshed.loaded == (("domain-7", version(2)),)
        assert catalogue.read == ["domain-7"]
        assert load.asked == [("domain-7", version(2))]
        changed = [name for name in names if registry.domains.get(name) is not before[name]]
        assert changed == ["domain-7"]
        await registry.refresh(force=True)
        assert sorted(set(catalogue.read)) == sorted(names)

    asyncio.run(test())


def test_a_domain_that_could_not_be_loaded_is_read_again(parts):
    """The change token of a domain counts as seen only if its versions were loaded."""
    catalogue, load, _ = parts
    catalogue.set("radio", "stable", 1)
    catalogue.set("voice", "stable", 2)
    load.refuses[version(2)] = StoreUnavailable("gone")
    registry = make_registry(parts)

    async def test():
        await registry.try_refresh()
        load.refuses.clear()
        catalogue.read.clear()
        await registry.refresh()
        assert catalogue.read == ["voice"]
        assert serves(registry) == version(2)

    asyncio.run(test())


def test_listeners_are_called_after_every_change(parts):
    """Listeners are called and the revision increases with every change, and not by a refresh without changes."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)
    states = []
    registry.domains.add_listener(lambda: states.append(registry.domains.revision))

    async def test():
        await registry.refresh()
        seen = len(states)
        assert states == sorted(set(states))
        assert seen > 0
        catalogue.number += 1
        await registry.refresh()
        assert len(states) == seen

    asyncio.run(test())
