"""lorb_server.registry.verification: cold versions are verified by their first call, refusals are remembered."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, StoreUnavailable, UnknownDomain, UnknownVersion
from support.adapters.catalogue import ADAPTER_BYTES, run_registry, served_version, version
from support.servers.serving import SimulatedClock, selected


def test_a_cold_domain_is_loaded_by_its_first_call():
    """A cold domain counts as served, and its first call loads it once."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        assert load.asked == []
        assert registry.served_domains() == ["voice"]
        assert await served_version(registry, "voice") == await served_version(registry, "voice@stable") == version(1)
        assert load.asked == [("voice", version(1))]

    run_registry(test, preload=False)


def test_loading_a_cold_domain_does_not_delay_others():
    """Other domains are served during a load, its callers share it, and a cancelled caller does not cancel it."""

    async def test(registry, catalogue, load, metrics):
        for domain in ("radio", "tv", "voice"):
            catalogue.set(domain, "stable", 1)
        await registry.refresh()
        assert await served_version(registry, "radio") == version(1)
        load.gates["voice"] = asyncio.Event()
        first, second, third = (asyncio.create_task(served_version(registry, "voice")) for _ in range(3))
        await asyncio.sleep(0)
        assert selected(registry, "radio").ref.version == version(1)
        assert await served_version(registry, "tv") == version(1)  # a cold one too
        catalogue.set("radio", "stable", 2)
        await registry.refresh()
        assert selected(registry, "radio").ref.version == version(2)
        first.cancel()
        load.gates["voice"].set()
        assert await asyncio.gather(second, third) == [version(1)] * 2
        assert load.asked.count(("voice", version(1))) == 1

    run_registry(test, preload=False)


def test_calls_for_a_refused_cold_version_get_the_reason():
    """The reason of the refusal is in the error, and the version is not loaded again until the store changes."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        load.refuses[version(1)] = InvalidAdapter("head.safetensors is torn")
        await registry.refresh()
        for domain, error in (("voice", UnknownDomain), ("voice", UnknownDomain), ("voice@stable", UnknownVersion)):
            with pytest.raises(error, match="torn") as caught:
                await registry.route(domain, "")
            assert caught.value.field == "domain"
        assert len(load.asked) == 1
        assert registry.domains.refused == {("voice", version(1)): "head.safetensors is torn"}
        assert registry.served_domains() == []
        load.refuses.clear()
        catalogue.change("radio")
        await registry.refresh()
        assert await served_version(registry, "voice") == version(1)

    run_registry(test, preload=False)


def test_calls_after_a_transient_error_wait_for_the_back_off():
    """After a store error, calls get that error without another attempt until the back-off is over."""
    clock = SimulatedClock()

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        load.refuses[version(1)] = StoreUnavailable("gone")
        await registry.refresh()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await registry.route("voice", "")
        assert len(load.asked) == 1
        load.refuses.clear()
        clock.now += 2.0
        assert await served_version(registry, "voice") == version(1)
        assert registry.domains.refused == {}

    run_registry(test, preload=False, clock=clock, back_off_seconds=2.0)


def test_versions_that_do_not_fit_stay_cold_until_called():
    """Preloading loads stable versions first and evicts nothing; the other versions are loaded by their first call."""

    async def test(registry, catalogue, load, metrics):
        names = [f"domain-{number}" for number in range(6)]
        for name in names:
            catalogue.set(name, "stable", 1)
            catalogue.set(name, "shadow", 2)
        await registry.refresh()
        assert load.asked == [(name, version(1)) for name in names[:4]]
        assert len(load.cache) == 4
        assert metrics.registry.get_sample_value("lorb_adapter_evictions_total") == 0
        assert registry.served_domains() == names
        assert [await served_version(registry, name) for name in names] == [version(1)] * 6
        assert load.cache.size_bytes <= 4 * ADAPTER_BYTES

    run_registry(test, room_for=4)


def test_a_warm_domain_serves_its_old_version_until_the_new_one_is_verified():
    """The old version serves while the new one is verified, and stays if the new one is refused."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        await served_version(registry, "voice")
        load.gates["voice"] = asyncio.Event()
        catalogue.set("voice", "stable", 2)
        reading = asyncio.create_task(registry.refresh())
        while len(load.asked) < 2:
            await asyncio.sleep(0)
        assert selected(registry, "voice").ref.version == version(1)
        load.gates["voice"].set()
        await reading
        assert selected(registry, "voice").ref.version == version(2)
        load.refuses[version(3)] = InvalidAdapter("torn")
        catalogue.set("voice", "stable", 3)
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(2)

    run_registry(test, room_for=1, preload=False)


def test_a_call_and_a_refresh_share_a_load():
    """A version that a call loads during a refresh is loaded once."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("tv", "stable", 1)
        await registry.refresh()
        load.gates["radio"] = asyncio.Event()
        catalogue.set("radio", "stable", 1)
        catalogue.set("voice", "stable", 1)
        reading = asyncio.create_task(registry.refresh())
        while ("radio", version(1)) not in load.asked:
            await asyncio.sleep(0)
        assert await served_version(registry, "voice") == version(1)
        load.gates["radio"].set()
        await reading
        assert selected(registry, "voice").ref.version == version(1)
        assert load.asked.count(("voice", version(1))) == 1

    run_registry(test)


def test_a_domain_that_is_removed_while_it_loads_stays_removed():
    """A call that waits for a domain's load gets NOT_FOUND if the domain is removed meanwhile; no weights stay."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        load.gates["voice"] = asyncio.Event()
        call = asyncio.create_task(served_version(registry, "voice"))
        while not load.asked:
            await asyncio.sleep(0)
        del catalogue.content["voice"]
        catalogue.change()
        await registry.refresh()
        load.gates["voice"].set()
        with pytest.raises(UnknownDomain):
            await call
        assert list(registry.domains.by_name) == []
        assert len(load.cache) == 0

    run_registry(test, preload=False)


def test_an_operator_may_verify_a_version_of_a_new_domain():
    """A version of a domain that no refresh has read yet is verified and stays loaded for the alias to come."""

    async def test(registry, catalogue, load, metrics):
        await registry.verify("voice", version(1))
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(1)
        assert load.asked == [("voice", version(1))]

    run_registry(test)
