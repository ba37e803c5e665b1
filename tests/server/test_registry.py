"""Which adapters serve: a store of stand-ins, and a loader that may refuse."""

import asyncio

import pytest

from catalogue import make_parts, make_registry, version
from lorb.errors import (
    InvalidAdapter,
    InvalidInput,
    ModelFailed,
    StoreUnavailable,
    UnknownDomain,
    UnknownVersion,
)
from serving import selected, served_adapter


@pytest.fixture
def parts():
    return make_parts()


def serves(registry, name="voice"):
    return selected(registry, name).ref.version


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
    base_adapter = served_adapter(0, "base")
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


def test_a_refused_version_leaves_the_old_one_serving(parts):
    """The refusal is remembered with its reason, and not tried again until the store changes or somebody asks."""
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


def test_a_refusal_stays_known_as_long_as_its_version(parts):
    """When the alias moves on the reason can still be read; it is not tried again, and goes with its version."""
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
    """The caller is told where to look."""
    parts[1].refuses[version(1)] = InvalidAdapter("torn")
    parts[0].set("voice", "stable", 1)
    registry = make_registry(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(UnknownDomain, match="ListAdapters"):
        selected(registry, "voice")
    assert registry.served_domains() == []


def test_a_domain_that_left_the_store_leaves_the_server(parts):
    """So do its refusals."""
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


def test_one_domains_trouble_is_not_anothers(parts):
    """A domain that cannot be read keeps what it has, the others follow the store, and it is tried again."""
    catalogue, _, metrics = parts
    catalogue.set("radio", "stable", 1)
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh_if_possible()
        catalogue.set("radio", "stable", 2)
        catalogue.set("voice", "stable", 2)
        catalogue.trouble["radio"] = StoreUnavailable("radio/aliases.json is torn")
        await registry.refresh_if_possible()
        assert (serves(registry, "radio"), serves(registry, "voice")) == (version(1), version(2))
        assert metrics.registry.get_sample_value("lorb_registry_errors_total") == 1
        catalogue.trouble.clear()
        await registry.refresh_if_possible()
        assert serves(registry, "radio") == version(2)

    asyncio.run(test())


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), RuntimeError("a bug")])
def test_a_store_that_cannot_be_read_changes_nothing(parts, trouble):
    """What is loaded keeps serving, whatever the store raises."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.refresh_if_possible()
        catalogue.trouble["generation"] = trouble
        await registry.refresh_if_possible()
        assert serves(registry) == version(1)

    asyncio.run(test())


@pytest.mark.parametrize("trouble", [StoreUnavailable("gone"), ModelFailed("dead")])
def test_what_is_not_the_versions_fault_is_not_held_against_it(parts, trouble):
    """A store or model in trouble while loading leaves no refusal; the next reading tries again."""
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
        await registry.refresh_if_possible()
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
    registry.domains.watch(lambda: states.append(registry.domains.state))

    async def test():
        await registry.refresh()
        seen = len(states)
        assert states == sorted(set(states))
        assert seen > 0
        catalogue.number += 1
        await registry.refresh()
        assert len(states) == seen

    asyncio.run(test())
