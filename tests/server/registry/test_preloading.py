"""lorb_server.registry.preloading: several versions at once, in order, and only as many as there is room for."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, StoreUnavailable
from lorb_server.adapter import MAX_CONCURRENT_LOADS
from support.adapters.catalogue import run_registry, version

DOMAINS = [f"domain-{number:02}" for number in range(12)]


async def until_idle():
    """Lets everything run that can run."""
    for _ in range(200):
        await asyncio.sleep(0)


def publish_all(catalogue, load):
    """Twelve domains whose loads wait; returns the event of each domain."""
    for number, domain in enumerate(DOMAINS):
        catalogue.set(domain, "stable", number + 1)
    load.gates = {domain: asyncio.Event() for domain in DOMAINS}
    return load.gates


def test_several_versions_are_verified_at_once():
    """Once one version's size is known, up to MAX_CONCURRENT_LOADS versions are verified at once, in order."""

    async def test(registry, catalogue, load, metrics):
        gates = publish_all(catalogue, load)
        refresh = asyncio.create_task(registry.try_refresh())
        while not load.asked:
            await asyncio.sleep(0.001)
        await until_idle()
        assert [domain for domain, _ in load.asked] == DOMAINS[:1]
        gates[DOMAINS[0]].set()
        await until_idle()
        assert [domain for domain, _ in load.asked] == DOMAINS[: 1 + MAX_CONCURRENT_LOADS]
        gates[DOMAINS[5]].set()
        await until_idle()
        assert [domain for domain, _ in load.asked] == DOMAINS[: 2 + MAX_CONCURRENT_LOADS]
        for gate in gates.values():
            gate.set()
        await refresh
        assert all(registry.domains.get(domain).loaded for domain in DOMAINS)

    run_registry(test)


def test_versions_being_verified_count_as_room_taken():
    """With room for four, exactly the first four versions are loaded, and none is evicted."""

    async def test(registry, catalogue, load, metrics):
        for gate in publish_all(catalogue, load).values():
            gate.set()
        await registry.try_refresh()
        assert [domain for domain, _ in load.asked] == DOMAINS[:4]
        assert metrics.registry.get_sample_value("lorb_adapter_evictions_total") == 0

    run_registry(test, room_for=4)


def test_one_versions_error_does_not_keep_the_others_from_loading():
    """A refused version and one that the store cannot read now leave the other ten to be loaded."""

    async def test(registry, catalogue, load, metrics):
        for gate in publish_all(catalogue, load).values():
            gate.set()
        load.refuses = {version(3): InvalidAdapter("bad"), version(6): StoreUnavailable("gone")}
        with pytest.raises(StoreUnavailable, match="gone"):
            await registry.refresh()
        loaded = [domain for domain in DOMAINS if registry.domains.get(domain).loaded]
        assert loaded == [domain for domain in DOMAINS if domain not in (DOMAINS[2], DOMAINS[5])]
        load.refuses.pop(version(6))
        result = await registry.refresh()
        assert result.loaded == ((DOMAINS[5], version(6)),)
        assert result.refused == ((DOMAINS[2], version(3)),)

    run_registry(test)
