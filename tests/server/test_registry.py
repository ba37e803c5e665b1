"""Which adapters serve: a store of stand-ins, and a loader that may refuse."""

import asyncio

import pytest

from lorb.errors import (
    InvalidAdapter,
    InvalidInput,
    ModelFailed,
    StoreUnavailable,
    UnknownDomain,
    UnknownVersion,
)
from lorb_adapters.aliases import Aliases
from lorb_server.metrics import Metrics
from lorb_server.registry import Registry
from serving import served_adapter


def version(number):
    return served_adapter(number - 1).ref.version


class Catalogue:
    """A store in memory."""

    def __init__(self):
        self.number = 0
        self.content = {}
        self.trouble = {}

    def set(self, domain, alias, number):
        versions, aliases = self.content.get(domain, ((), Aliases()))
        share = 0.5 if alias == "canary" else None
        self.content[domain] = (
            tuple(dict.fromkeys((*versions, version(number)))),
            aliases.with_alias(alias, version(number), share),
        )
        self.number += 1

    def generation(self):
        self._raise("generation")
        return self.number

    def domains(self):
        return list(self.content)

    def versions(self, domain):
        return self.content[domain][0]

    def aliases(self, domain):
        self._raise(domain)
        return self.content[domain][1]

    def _raise(self, what):
        if what in self.trouble:
            raise self.trouble[what]


class Loader:
    """Loads stand-ins, and refuses the versions it is told to."""

    def __init__(self):
        self.refuses = {}
        self.asked = []

    async def __call__(self, domain, wanted):
        self.asked.append((domain, wanted))
        if wanted in self.refuses:
            raise self.refuses[wanted]
        return served_adapter(int(wanted.partition("-")[0]) - 1, domain)


@pytest.fixture
def parts():
    return Catalogue(), Loader(), Metrics()


def make(parts, **settings):
    catalogue, load, metrics = parts
    return Registry(catalogue, load, metrics, **settings)


def serves(registry, name="voice"):
    return registry.select(name).ref.version


def test_a_name_is_served_by_its_stable_version(parts):
    """Plain names mean stable, name@alias the alias."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    registry = make(parts, default_domain="voice")
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
    registry = make(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(error) as caught:
        registry.select(domain)
    assert type(caught.value) is error
    assert caught.value.field == "domain"


def test_the_base_serves_its_own_domain_where_it_can(parts):
    """The reserved domain is the base's own head, never the store's."""
    base_adapter = served_adapter(0, "base")
    parts[0].set("base", "stable", 7)
    registry = make(parts, base_adapter=base_adapter)
    asyncio.run(registry.refresh())
    assert registry.select("base") is base_adapter
    assert registry.served_domains() == ["base"]
    assert parts[1].asked == []


def test_pinned_versions_are_served_where_allowed(parts):
    """With the switch every version of the store is loaded and may be asked for."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "stable", 2)
    catalogue.set("voice", "stable", 3)
    registry = make(parts, allow_pinned_versions=True)
    asyncio.run(registry.refresh())
    assert serves(registry, f"voice@{version(1)}") == version(1)
    with pytest.raises(UnknownVersion):
        registry.select(f"voice@{version(9)}")


def test_a_flip_changes_nothing_that_was_pinned(parts):
    """An adapter selected before a flip stays whole; the next call gets the new one."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make(parts)

    async def test():
        await registry.refresh()
        pinned, picture = registry.select("voice"), registry.snapshot
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        assert pinned.ref.version == version(1)
        assert picture.domains["voice"].aliases == {"stable": version(1)}
        assert serves(registry) == version(2)

    asyncio.run(test())


def test_the_version_before_stays_resident_and_older_ones_leave(parts):
    """A rollback needs no loading; memory does not grow with the history."""
    catalogue, load, _ = parts
    registry = make(parts)

    async def test():
        for number in (1, 2, 3):
            catalogue.set("voice", "stable", number)
            await registry.refresh()
        assert set(registry.snapshot.domains["voice"].loaded) == {version(2), version(3)}
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
    registry = make(parts)

    async def test():
        await registry.refresh()
        catalogue.set("voice", "stable", 2)
        refreshed = await registry.refresh()
        assert refreshed.refused == (("voice", version(2)),)
        assert serves(registry) == version(1)
        assert registry.snapshot.refused == {("voice", version(2)): "torn"}
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
        assert registry.snapshot.refused == {}
        assert metrics.registry.get_sample_value("lorb_adapter_refused", refused) is None

    asyncio.run(test())


def test_a_refusal_stays_known_as_long_as_its_version(parts):
    """When the alias moves on the reason can still be read; it is not tried again, and goes with its version."""
    catalogue, load, _ = parts
    load.refuses[version(2)] = InvalidAdapter("torn")
    registry = make(parts)

    async def test():
        for number in (1, 2, 3):
            catalogue.set("voice", "stable", number)
            await registry.refresh()
        assert serves(registry) == version(3)
        assert registry.snapshot.refused == {("voice", version(2)): "torn"}
        assert set(registry.snapshot.domains["voice"].loaded) == {version(1), version(3)}
        assert load.asked.count(("voice", version(2))) == 1
        catalogue.content["voice"] = ((version(1), version(3)), catalogue.content["voice"][1])
        catalogue.number += 1
        await registry.refresh()
        assert registry.snapshot.refused == {}

    asyncio.run(test())


def test_a_domain_whose_first_version_is_refused_is_not_served(parts):
    """The caller is told where to look."""
    parts[1].refuses[version(1)] = InvalidAdapter("torn")
    parts[0].set("voice", "stable", 1)
    registry = make(parts)
    asyncio.run(registry.refresh())
    with pytest.raises(UnknownDomain, match="ListAdapters"):
        registry.select("voice")
    assert registry.served_domains() == []


def test_a_domain_that_left_the_store_leaves_the_server(parts):
    """So do its refusals."""
    catalogue, load, _ = parts
    load.refuses[version(2)] = InvalidAdapter("torn")
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    catalogue.set("radio", "stable", 3)
    registry = make(parts)

    async def test():
        await registry.refresh()
        del catalogue.content["voice"]
        catalogue.number += 1
        await registry.refresh()
        assert registry.served_domains() == ["radio"]
        assert registry.snapshot.refused == {}

    asyncio.run(test())


def test_an_alias_taken_away_is_served_no_more(parts):
    """Unlike one whose new version is refused."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "canary", 2)
    registry = make(parts)

    async def test():
        await registry.refresh()
        versions, aliases = catalogue.content["voice"]
        catalogue.content["voice"] = (versions, aliases.without_alias("canary"))
        catalogue.number += 1
        await registry.refresh()
        with pytest.raises(UnknownVersion):
            registry.select("voice@canary")

    asyncio.run(test())


def test_one_domains_trouble_is_not_anothers(parts):
    """A domain that cannot be read keeps what it has, the others follow the store, and it is tried again."""
    catalogue, _, metrics = parts
    catalogue.set("radio", "stable", 1)
    catalogue.set("voice", "stable", 1)
    registry = make(parts)

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
    registry = make(parts)

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
    registry = make(parts)

    async def test():
        with pytest.raises(type(trouble)):
            await registry.refresh()
        assert registry.snapshot.refused == {}
        load.refuses.clear()
        await registry.refresh()
        assert serves(registry) == version(1)

    asyncio.run(test())


def test_unloading_spares_what_serves(parts):
    """A version behind an alias stays; another leaves until the store's next change asks for it."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    catalogue.set("voice", "stable", 2)
    registry = make(parts)

    async def test():
        await registry.refresh()
        with pytest.raises(InvalidInput, match="stable"):
            await registry.unload("voice", version(2))
        await registry.unload("voice", version(1))
        assert set(registry.snapshot.domains["voice"].loaded) == {version(2)}
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
    registry = make(parts)

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
        assert registry.snapshot.refused == {}

    asyncio.run(test())


def test_polling_follows_the_store(parts):
    """A change is served without anybody asking."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make(parts)

    async def test():
        polling = asyncio.create_task(registry.poll(0.001))
        async with asyncio.timeout(10):
            while "voice" not in registry.served_domains():
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
    registry = make(parts)
    asyncio.run(registry.refresh())
    known = [("radio", version(3)), ("voice", version(2)), ("voice", version(9)), ("voice", version(10))]
    assert registry.snapshot.known_versions() == known
    assert registry.snapshot.known_versions("voice") == known[1:]
