"""Cold adapters, canaries and shadows: what a call is sent to."""

import asyncio

import pytest

from lorb.errors import InvalidAdapter, StoreUnavailable, UnknownDomain, UnknownVersion
from lorb_server.registry.router import is_in_share
from support.adapters.catalogue import ADAPTER_BYTES, make_parts, make_registry, version
from support.servers.serving import WAIT_SECONDS, SimulatedClock, selected

KEYS = [f"speaker-{number}" for number in range(200)]


def run(test, *, room_for=100, **settings):
    """Runs `test(registry, catalogue, load, metrics)`."""

    async def with_registry():
        parts = make_parts(room_for)
        registry = make_registry(parts, **settings)
        async with asyncio.timeout(WAIT_SECONDS):
            await test(registry, *parts)
            await registry.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(with_registry())


async def served_by(registry, domain, key="caller"):
    return (await registry.route(domain, key)).adapter.ref.version


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels or {"domain": "voice"})


def test_a_cold_domain_is_loaded_by_its_first_call():
    """It is served from the start, and read once; asking for it is all it takes."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        assert load.asked == []
        assert registry.served_domains() == ["voice"]
        assert await served_by(registry, "voice") == await served_by(registry, "voice@stable") == version(1)
        assert load.asked == [("voice", version(1))]

    run(test, preload=False)


def test_a_cold_domain_holds_up_nobody_else():
    """While it loads others are served, callers of it share the load, and one that leaves takes nobody along."""

    async def test(registry, catalogue, load, metrics):
        for domain in ("radio", "tv", "voice"):
            catalogue.set(domain, "stable", 1)
        await registry.refresh()
        assert await served_by(registry, "radio") == version(1)
        load.gates["voice"] = asyncio.Event()
        first, second, third = (asyncio.create_task(served_by(registry, "voice")) for _ in range(3))
        await asyncio.sleep(0)
        assert selected(registry, "radio").ref.version == version(1)
        assert await served_by(registry, "tv") == version(1)  # a cold one too
        catalogue.set("radio", "stable", 2)
        await registry.refresh()
        assert selected(registry, "radio").ref.version == version(2)
        first.cancel()
        load.gates["voice"].set()
        assert await asyncio.gather(second, third) == [version(1)] * 2
        assert load.asked.count(("voice", version(1))) == 1

    run(test, preload=False)


def test_a_cold_version_that_is_refused_says_why():
    """Once refused it is not tried again until the store changes; ListAdapters has the same reason."""

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
        assert await served_by(registry, "voice") == version(1)

    run(test, preload=False)


def test_trouble_is_not_hammered():
    """A store that cannot be read is asked again after a moment, and nothing is held against the version."""
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
        assert await served_by(registry, "voice") == version(1)
        assert registry.domains.refused == {}

    run(test, preload=False, clock=clock, back_off_seconds=2.0)


def test_what_does_not_fit_stays_cold_until_called_for():
    """Stable versions are loaded before others, nobody is pushed out for it, and all are served."""

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
        assert [await served_by(registry, name) for name in names] == [version(1)] * 6
        assert load.cache.size_bytes <= 4 * ADAPTER_BYTES

    run(test, room_for=4)


def test_a_warm_domain_serves_its_old_version_until_the_new_one_is_verified():
    """Also where there is no room left, and where the new one turns out to be bad."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        await served_by(registry, "voice")
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

    run(test, room_for=1, preload=False)


def test_a_call_and_a_reading_share_a_load():
    """What a call loads while the store is read is neither loaded twice nor lost."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("tv", "stable", 1)
        await registry.refresh()
        load.gates["radio"] = asyncio.Event()
        catalogue.set("radio", "stable", 1)
        catalogue.set("voice", "stable", 1)
        reading = asyncio.create_task(registry.refresh())
        while ("radio", version(1)) not in load.asked:
            await asyncio.sleep(0)
        assert await served_by(registry, "voice") == version(1)
        load.gates["radio"].set()
        await reading
        assert selected(registry, "voice").ref.version == version(1)
        assert load.asked.count(("voice", version(1))) == 1

    run(test)


def test_the_canary_takes_its_share():
    """By routing key, with stable to fall back to and without a shadow; the others get stable; each is counted."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "canary", 2, share=0.3)
        await registry.refresh()
        routes = {key: await registry.route("voice", key) for key in KEYS}
        chosen = [key for key in KEYS if is_in_share("voice", key, 0.3)]
        assert [key for key in KEYS if routes[key].adapter.ref.version == version(2)] == chosen
        for key, route in routes.items():
            assert (route.stable is not None) == (key in chosen)
            assert (route.stable or route.adapter).ref.version == version(1)
        assert sample(metrics, "lorb_canary_requests_total") == len(chosen) > 0
        assert sample(metrics, "lorb_canary_share") == 0.3
        assert registry.depends_on_key("voice")
        assert not registry.depends_on_key("voice@stable")
        explicit = await registry.route("voice@canary", "")
        assert (explicit.adapter.ref.version, explicit.stable, explicit.shadow) == (version(2), None, None)
        catalogue.set("voice", "canary", 2, share=1.0)
        await registry.refresh()
        assert {await served_by(registry, "voice", key) for key in (*KEYS, "")} == {version(2)}

    run(test)


def test_nobody_waits_for_a_trial():
    """A cold canary or shadow is loaded in the background; the call gets stable. A bad one changes nothing."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "canary", 2, share=1.0)
        load.refuses[version(3)] = InvalidAdapter("torn")
        catalogue.set("radio", "stable", 1)
        catalogue.set("radio", "canary", 3, share=1.0)
        await registry.refresh()
        await registry.route("voice@stable", "")
        load.gates["voice"] = asyncio.Event()
        for _ in range(3):
            assert await served_by(registry, "voice") == version(1)
            await asyncio.sleep(0)
        load.gates["voice"].set()
        while await served_by(registry, "voice") != version(2):
            await asyncio.sleep(0)
        for _ in range(20):
            assert await served_by(registry, "radio") == version(1)
            await asyncio.sleep(0)
        assert load.asked.count(("radio", version(3))) == 1

    run(test, preload=False)


def test_a_withdrawn_canary_gets_no_more_calls():
    """Until its alias points elsewhere; by name it still serves. It is counted and told once."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "canary", 2, share=1.0)
        await registry.refresh()
        canary = selected(registry, "voice")
        registry.withdraw_canary(canary, "NaN")
        registry.withdraw_canary(canary, "NaN again")
        assert selected(registry, "voice").ref.version == version(1)
        assert selected(registry, "voice@canary") is canary
        assert registry.domains.get("voice").withdrawn == {version(2): "NaN"}
        assert sample(metrics, "lorb_canary_withdrawals_total") == 1
        assert sample(metrics, "lorb_canary_share") is None
        catalogue.set("voice", "canary", 2, share=0.5)
        await registry.refresh()
        assert {await served_by(registry, "voice", key) for key in KEYS} == {version(1)}
        catalogue.set("voice", "canary", 3, share=1.0)
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(3)
        registry.withdraw_canary(canary, "late news of the one before")
        assert selected(registry, "voice").ref.version == version(3)

    run(test)


def test_a_forced_refresh_gives_a_withdrawn_canary_another_chance():
    """The operator says so."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "canary", 2, share=1.0)
        await registry.refresh()
        registry.withdraw_canary(selected(registry, "voice"), "NaN")
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(1)
        await registry.refresh(force=True)
        assert selected(registry, "voice").ref.version == version(2)

    run(test)


def test_a_shadow_stands_beside_calls_that_stable_answers():
    """Not beside those that name an alias, and not where it is the same version."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "shadow", 2)
        await registry.refresh()
        route = await registry.route("voice", "caller")
        assert (route.adapter.ref.version, route.stable) == (version(1), None)
        assert route.shadow.ref.version == version(2)
        assert (await registry.route("voice@stable", "caller")).shadow is None
        catalogue.set("voice", "shadow", 1)
        await registry.refresh()
        assert (await registry.route("voice", "caller")).shadow is None

    run(test)
