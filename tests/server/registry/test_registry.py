"""Which adapters serve, by name and alias: a store of stand-ins, and a loader that may refuse."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, InvalidInput, UnknownDomain, UnknownVersion
from support.adapters.catalogue import make_registry, serves, version
from support.servers.serving import selected
from support.servers.stub_model import adapter_handle


def test_a_name_is_served_by_its_stable_version(parts):
    """Plain names mean stable, name@alias the alias."""
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
def test_what_is_not_served_is_an_error_that_names_the_field(parts, domain, error):
    """Never silently another domain, and never the base."""
    parts[0].set("voice", "stable", 1)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(error) as caught:
        selected(registry, domain)
    assert type(caught.value) is error
    assert caught.value.field == "domain"


def test_the_base_serves_its_own_domain_where_it_can(parts):
    """The reserved domain is the base's own head, never the store's."""
    base_adapter = adapter_handle(0, "base")
    parts[0].set("base", "stable", 7)
    registry = make_registry(parts, base_adapter=base_adapter)
    asyncio.run(registry.refresh())
    assert selected(registry, "base") is base_adapter
    assert registry.served_domains() == ["base"]
    assert parts[1].asked == []


def test_pinned_versions_are_served_where_allowed(parts):
    """With the switch every version of the store is loaded and may be asked for."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "stable", 2)
    catalogue.set("voice", "stable", 3)
    registry = make_registry(parts, allow_pinned_versions=True)
    asyncio.run(registry.refresh())
    assert serves(registry, f"voice@{version(1)}") == version(1)
    with pytest.raises(UnknownVersion):
        selected(registry, f"voice@{version(9)}")


def test_a_flip_changes_nothing_that_was_pinned(parts):
    """An adapter selected before a flip stays whole; the next call gets the new one."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh()
        pinned, picture = selected(registry, "voice"), registry.domains.get("voice")
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        assert pinned.ref.version == version(1)
        assert picture.aliases == {"stable": version(1)}
        assert serves(registry) == version(2)

    asyncio.run(test())


def test_the_version_before_stays_resident_and_older_ones_leave(parts):
    """A rollback needs no loading; memory does not grow with the history."""
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
        assert (("voice", version(2))) not in load.asked

    asyncio.run(test())


def test_an_alias_taken_away_is_served_no_more(parts):
    """Unlike one whose new version is refused."""
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


def test_unloading_spares_what_serves(parts):
    """A version behind an alias stays; another leaves until the store's next change asks for it."""
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
    """What was verified for a flip is what the flip serves; a bad one raises and leaves nothing."""
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


def test_versions_are_known_by_domain_and_number(parts):
    """Listed, loaded and refused ones, 10 after 9."""
    catalogue = parts[0]
    for number in (10, 9, 2):
        catalogue.set("voice", "stable", number)
    catalogue.set("radio", "stable", 3)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    known = [("radio", version(3)), ("voice", version(2)), ("voice", version(9)), ("voice", version(10))]
    assert registry.domains.known_versions() == known
    assert registry.domains.known_versions("voice") == known[1:]
