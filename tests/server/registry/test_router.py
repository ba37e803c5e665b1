"""lorb_server.registry.router: canaries, their share of the callers, and shadows."""

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidAdapter
from lorb_server.registry.router import is_in_share
from support.adapters.catalogue import run_registry, served_version, version
from support.servers.serving import selected

KEYS = [f"speaker-{number}" for number in range(200)]
SHARES = st.floats(0.0, 1.0)
NUM_KEYS = 4000


def sample(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels or {"domain": "voice"})


def test_the_canary_gets_its_share_of_routing_keys():
    """Routing keys in the share get the canary with stable as fallback, the others get stable, and both are counted."""

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
        assert {await served_version(registry, "voice", key) for key in (*KEYS, "")} == {version(2)}

    run_registry(test)


def test_no_call_waits_for_a_canary():
    """A cold canary is loaded in the background while calls get stable; a refused canary changes nothing."""

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
            assert await served_version(registry, "voice") == version(1)
            await asyncio.sleep(0)
        load.gates["voice"].set()
        while await served_version(registry, "voice") != version(2):
            await asyncio.sleep(0)
        for _ in range(20):
            assert await served_version(registry, "radio") == version(1)
            await asyncio.sleep(0)
        assert load.asked.count(("radio", version(3))) == 1

    run_registry(test, preload=False)


def test_a_withdrawn_canary_gets_no_more_calls():
    """A withdrawn canary serves only calls that name it, until its alias points elsewhere; it is counted once."""

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
        assert {await served_version(registry, "voice", key) for key in KEYS} == {version(1)}
        catalogue.set("voice", "canary", 3, share=1.0)
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(3)
        registry.withdraw_canary(canary, "a late failure of the previous canary")
        assert selected(registry, "voice").ref.version == version(3)

    run_registry(test)


def test_a_forced_refresh_reinstates_a_withdrawn_canary():
    """After a forced refresh, a withdrawn canary gets calls again."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "canary", 2, share=1.0)
        await registry.refresh()
        registry.withdraw_canary(selected(registry, "voice"), "NaN")
        await registry.refresh()
        assert selected(registry, "voice").ref.version == version(1)
        await registry.refresh(force=True)
        assert selected(registry, "voice").ref.version == version(2)

    run_registry(test)


def test_calls_answered_by_stable_have_the_shadow_in_their_route():
    """The shadow is in routes of plain names, not in those of aliases, and not if it is the stable version."""

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

    run_registry(test)


@given(key=st.text(), small=SHARES, large=SHARES)
def test_a_larger_share_includes_every_key_of_a_smaller_one(key, small, large):
    """A key in a share stays in every larger share; a share of 1 has all keys, a share of 0 none."""
    small, large = sorted((small, large))
    assert is_in_share("voice", key, large) or not is_in_share("voice", key, small)
    assert is_in_share("voice", key, 1.0)
    assert not is_in_share("voice", key, 0.0)


@given(key=st.text(), share=SHARES)
def test_a_routing_key_stays_on_its_side(key, share):
    """The decision depends on domain, key and share alone."""
    assert is_in_share("voice", key, share) == is_in_share("voice", key, share)


@given(prefix=st.sampled_from(("speaker-", "call ", "")), share=st.sampled_from((0.01, 0.05, 0.2, 0.5, 0.9)))
def test_the_fraction_of_keys_in_the_share_is_the_share(prefix, share):
    """The number of keys in the share is within five standard deviations of a binomial distribution."""
    taken = sum(is_in_share("voice", f"{prefix}{number}", share) for number in range(NUM_KEYS))
    assert abs(taken - NUM_KEYS * share) < 5 * math.sqrt(NUM_KEYS * share * (1 - share))


def test_domains_split_the_same_keys_differently():
    """Of the keys in one half of a domain, half are in the same half of another domain."""
    keys = [str(number) for number in range(NUM_KEYS)]
    voice = {key for key in keys if is_in_share("voice", key, 0.5)}
    radio = {key for key in keys if is_in_share("radio", key, 0.5)}
    assert abs(len(voice & radio) - NUM_KEYS / 4) < 5 * math.sqrt(NUM_KEYS * 3 / 16)
