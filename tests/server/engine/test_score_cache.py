"""lorb_server.engine.score_cache: keys, eviction and memory."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.text import EncodedHypothesis
from lorb_server.engine.score_cache import ScoreCache

DIGEST, OTHER = "a" * 64, "b" * 64


@st.composite
def encoded_rows(draw):
    token_ids = tuple(draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=5)))
    types = tuple(draw(st.integers(0, 1)) for _ in token_ids)
    return EncodedHypothesis(token_ids, types, draw(st.integers(0, len(token_ids))), truncated=draw(st.booleans()))


@given(encoded_rows(), encoded_rows(), st.sampled_from([DIGEST, OTHER]), st.sampled_from([DIGEST, OTHER]))
def test_keys_hold_all_that_a_score_depends_on(one, other, digest, other_digest):
    """Two keys are equal exactly if weights, tokens, types and scored positions are equal."""
    cache = ScoreCache(1000)
    same = (digest, one.token_ids, one.type_ids, one.scored_from) == (
        other_digest,
        other.token_ids,
        other.type_ids,
        other.scored_from,
    )
    assert (cache.keys(digest, [one], "") == cache.keys(other_digest, [other], "")) is same


@pytest.mark.parametrize(("is_shared", "found"), [(False, None), (True, 1.5)])
def test_a_caller_finds_only_its_own_scores(is_shared, found):
    """A score that one caller has put is not found by another caller, unless the cache is shared."""
    cache = ScoreCache(1000, is_shared=is_shared)
    row = EncodedHypothesis((1,), (0,), 0, truncated=False)
    [kiosk_key], [car_key] = cache.keys(DIGEST, [row], "kiosk"), cache.keys(DIGEST, [row], "car")
    cache.put(kiosk_key, 1.5)
    assert (cache.get(kiosk_key), cache.get(car_key)) == (1.5, found)


def key(cache, number):
    return cache.keys(DIGEST, [EncodedHypothesis((number,), (0,), 0, truncated=False)], "")[0]


def test_the_least_recently_used_score_is_evicted_first():
    """The least recently used score is evicted first, and the bytes stay within the bound."""
    cache = ScoreCache(4 * 400)
    for number in range(3):
        cache.put(key(cache, number), float(number))
    assert cache.get(key(cache, 0)) == 0.0
    for number in range(3, 6):
        cache.put(key(cache, number), float(number))
        assert cache.size_bytes <= cache.max_bytes
    assert cache.get(key(cache, 0)) == 0.0
    assert cache.get(key(cache, 1)) is None


def test_a_score_of_zero_is_a_hit():
    """A cached score of 0 is a hit."""
    cache = ScoreCache(1000)
    cache.put(key(cache, 1), 0.0)
    assert cache.get(key(cache, 1)) == 0.0


def test_an_entry_put_twice_counts_once():
    """A second score of the same key neither replaces the first nor adds bytes."""
    cache = ScoreCache(1000)
    cache.put(key(cache, 1), 1.0)
    size = cache.size_bytes
    cache.put(key(cache, 1), 1.0000001)
    assert (cache.size_bytes, cache.get(key(cache, 1)), len(cache)) == (size, 1.0, 1)


def test_zero_bytes_turn_the_cache_off():
    """With 0 bytes there are no keys to look up."""
    assert ScoreCache(0).keys(DIGEST, [EncodedHypothesis((1,), (0,), 0, truncated=False)], "") == []


@pytest.mark.parametrize("num_tokens", [5, 40])
def test_the_bytes_counted_are_the_bytes_taken(num_tokens):
    """The counted bytes are at least, and at most twice, what Python allocates for 10,000 entries."""
    cache = ScoreCache(1 << 30)
    tracemalloc.start()
    try:
        for number in range(10_000):
            row = EncodedHypothesis((number, *range(num_tokens)), (0,) * (num_tokens + 1), 1, truncated=False)
            caller = "".join(("kiosk", "-7"))  # a new string each time, as of a certificate
            cache.put(cache.keys(DIGEST, [row], caller)[0], number + 0.5)
            del row
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * cache.size_bytes < taken <= cache.size_bytes
