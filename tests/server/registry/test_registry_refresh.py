"""How the registry follows the store: what it reads again, whom it tells, and what a store in trouble changes."""

import asyncio

import pytest

from lorb.errors import StoreUnavailable
from support.adapters.catalogue import make_registry, serves, version


def test_one_domains_trouble_is_not_anothers(parts):
    """A domain that cannot be read keeps what it has, the others follow the store, and it is tried again."""
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
def test_a_store_that_cannot_be_read_changes_nothing(parts, trouble):
    """What is loaded keeps serving, whatever the store raises."""
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
    """A change is served without anybody asking."""
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


def test_only_what_changed_is_read_again(parts):
    """One flip among many domains reads one domain, touches no other's picture, and loads one version."""
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
    """Its stamp counts as seen only when all went well."""
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


def test_whoever_watches_is_told_of_every_change(parts):
    """The state grows with what serves, and not with a reading that found nothing new."""
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
