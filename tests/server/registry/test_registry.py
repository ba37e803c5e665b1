"""lorb_server.registry.registry: which version serves a domain, with an in-memory store and a scripted loader."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, InvalidInput, UnknownDomain, UnknownVersion
from support.adapters.catalogue import make_registry, serves, version
from support.servers.serving import selected
from support.servers.stub_model import adapter_handle


def test_a_name_is_served_by_its_stable_version(parts):
    """A plain name is served by stable, and name@alias by that alias."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    registry = make_registry(parts, default_domain="voice")
    asyncio.run(registry.refresh())
    assert serves(registry) == serves(registry, "voice@stable") == serves(registry, "") == version(1)
    assert serves(registry, "voice@canary") == version(2)
    assert registry.served_domains() == ["voice"]


@pytest.mark.parametrize(
    ("domain", "error"),
    [
        ("", InvalidInput),
        ("../../etc", InvalidInput),
        ("voice@", InvalidInput),
        ("voice@1x", InvalidInput),
        (f"voice@{version(1)}", InvalidInput),
        ("radio", UnknownDomain),
        ("base", UnknownDomain),
        ("voice@canary", UnknownVersion),
    ],
)
def test_unserved_domains_raise_an_error_that_names_the_field(parts, domain, error):
    """A domain that is not served raises an error; no other domain and no base answers in its place."""
    parts[0].set("voice", "stable", 1)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(error) as caught:
        selected(registry, domain)
    assert type(caught.value) is error
    assert caught.value.field == "domain"


def test_the_reserved_domain_is_served_by_the_base(parts):
    """The domain `base` is served by the base's own head, never by a version in the store."""
    base_adapter = adapter_handle(0, "base")
    parts[0].set("base", "stable", 7)
    registry = make_registry(parts, base_adapter=base_adapter)
    asyncio.run(registry.refresh())
    assert selected(registry, "base") is base_adapter
    assert registry.served_domains() == ["base"]
    assert parts[1].asked == []


def test_pinned_versions_are_served_if_allowed(parts):
    """With allow_pinned_versions, every version in the store is loaded and can be requested."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "stable", 2)
    catalogue.set("voice", "stable", 3)
    registry = make_registry(parts, allow_pinned_versions=True)
    asyncio.run(registry.refresh())
    assert serves(registry, f"voice@{version(1)}") == version(1)
    with pytest.raises(UnknownVersion):
        selected(registry, f"voice@{version(9)}")


def test_a_flip_does_not_change_a_pinned_adapter(parts):
    """An adapter that a call holds survives a flip; the next call gets the new version."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        pinned, snapshot = selected(registry, "voice"), registry.domains.get("voice")
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        assert pinned.ref.version == version(1)
        assert snapshot.aliases == {"stable": version(1)}
        assert serves(registry) == version(2)

    asyncio.run(test())


def test_the_previous_stable_version_stays_loaded_and_older_ones_are_dropped(parts):
    """A rollback needs no loading, and older versions are dropped."""
    catalogue, load, _ = parts
    registry = make_registry(parts)

    async def test():
        for number in (1, 2, 3):
            catalogue.set("voice", "stable", number)
            await registry.refresh()
        assert set(registry.domains.by_name["voice"].loaded) == {version(2), version(3)}
        load.asked.clear()
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        assert serves(registry) == version(2)
        assert ("voice", version(2)) not in load.asked

    asyncio.run(test())


def test_a_removed_alias_is_not_served(parts):
    """An alias that was removed from the store raises UnknownVersion."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        versions, aliases = catalogue.content["voice"]
        catalogue.content["voice"] = (versions, aliases.without_alias("canary"))
        catalogue.change("voice")
        await registry.refresh()
        with pytest.raises(UnknownVersion):
            selected(registry, "voice@canary")

    asyncio.run(test())


def test_only_versions_without_an_alias_can_be_unloaded(parts):
    """Unloading a version behind an alias is refused; another version is dropped."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "stable", 2)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        with pytest.raises(InvalidInput, match="stable"):
            await registry.unload("voice", version(2))
        await registry.unload("voice", version(1))
        assert set(registry.domains.by_name["voice"].loaded) == {version(2)}
        with pytest.raises(UnknownVersion):
            await registry.unload("voice", version(1))
        with pytest.raises(UnknownDomain):
            await registry.unload("radio", version(1))

    asyncio.run(test())


def test_a_verified_version_is_not_loaded_twice(parts):
    """A flip to a version that was verified before does not load it again; a version that fails verification raises."""
    catalogue, load, _ = parts
    catalogue.set("voice", "stable", 1)
    load.refuses[version(3)] = InvalidAdapter("torn")
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        await registry.verify("voice", version(2))
        assert serves(registry) == version(1)
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        assert serves(registry) == version(2)
        assert load.asked.count(("voice", version(2))) == 1
        with pytest.raises(InvalidAdapter):
            await registry.verify("voice", version(3))
        assert registry.domains.refused == {}

    asyncio.run(test())


def test_known_versions_are_sorted_by_domain_and_number(parts):
    """Known versions are sorted by domain and then by number: 10 after 9."""
    catalogue = parts[0]
    for number in (10, 9, 2):
        catalogue.set("voice", "stable", number)
    catalogue.set("radio", "stable", 3)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    known = [("radio", version(3)), ("voice", version(2)), ("voice", version(9)), ("voice", version(10))]
    assert registry.domains.known_versions() == known
    assert registry.domains.known_versions("voice") == known[1:]
