"""lorb_server.registry.registry: refused versions, what serves instead, and when they are verified again."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, ModelFailed, StoreUnavailable, UnknownDomain
from support.adapters.catalogue import make_registry, serves, version
from support.servers.serving import selected


def test_a_refused_version_leaves_the_old_one_serving(parts):
    """The old version serves, and the refused one is verified again only after a store change or a forced refresh."""
    catalogue, load, metrics = parts
    load.refuses[version(2)] = InvalidAdapter("torn")
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        catalogue.set("voice", "stable", 2)
        refreshed = await registry.refresh()
        assert refreshed.refused == (("voice", version(2)),)
        assert serves(registry) == version(1)
        assert registry.domains.refused == {("voice", version(2)): "torn"}
        refused = {"domain": "voice", "version": version(2)}
        assert metrics.registry.get_sample_value("lorb_adapter_refused", refused) == 1
        await registry.refresh()
        assert load.asked.count(("voice", version(2))) == 1
        await registry.refresh(force=True)
        assert load.asked.count(("voice", version(2))) == 2
        load.refuses.clear()
        catalogue.number += 1
        assert (await registry.refresh()).loaded == (("voice", version(2)),)
        assert serves(registry) == version(2)
        assert registry.domains.refused == {}
        assert metrics.registry.get_sample_value("lorb_adapter_refused", refused) is None

    asyncio.run(test())


def test_a_refusal_is_remembered_while_its_version_is_in_the_store(parts):
    """The reason of a refusal can be read after the alias has moved on, until the version is removed."""
    catalogue, load, _ = parts
    load.refuses[version(2)] = InvalidAdapter("torn")
    registry = make_registry(parts)

    async def test():
        for number in (1, 2, 3):
            catalogue.set("voice", "stable", number)
            await registry.refresh()
        assert serves(registry) == version(3)
        assert registry.domains.refused == {("voice", version(2)): "torn"}
        assert set(registry.domains.by_name["voice"].loaded) == {version(1), version(3)}
        assert load.asked.count(("voice", version(2))) == 1
        catalogue.content["voice"] = ((version(1), version(3)), catalogue.content["voice"][1])
        catalogue.change("voice")
        await registry.refresh()
        assert registry.domains.refused == {}

    asyncio.run(test())


def test_a_domain_whose_first_version_is_refused_is_not_served(parts):
    """A domain without a version that serves raises UnknownDomain, which points to ListAdapters."""
    parts[1].refuses[version(1)] = InvalidAdapter("torn")
    parts[0].set("voice", "stable", 1)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(UnknownDomain, match="ListAdapters"):
        selected(registry, "voice")
    assert registry.served_domains() == []


def test_a_domain_removed_from_the_store_is_not_served(parts):
    """A domain that was removed from the store is dropped with its refusals."""
    catalogue, load, _ = parts
    load.refuses[version(2)] = InvalidAdapter("torn")
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    catalogue.set("radio", "stable", 3)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        del catalogue.content["voice"]
        catalogue.number += 1
        await registry.refresh()
        assert registry.served_domains() == ["radio"]
        assert registry.domains.refused == {}

    asyncio.run(test())


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), ModelFailed("dead")])
def test_transient_errors_do_not_refuse_a_version(parts, trouble):
    """A store or model error during loading refuses nothing; the next refresh tries again."""
    catalogue, load, _ = parts
    catalogue.set("voice", "stable", 1)
    load.refuses[version(1)] = trouble
    registry = make_registry(parts)

    async def test():
        with pytest.raises(type(trouble)):
            await registry.refresh()
        assert registry.domains.refused == {}
        load.refuses.clear()
        await registry.refresh()
        assert serves(registry) == version(1)

    asyncio.run(test())
