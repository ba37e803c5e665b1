"""lorb_server.engine.adapter_cache: eviction, reloading and their failures."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidAdapter, StoreUnavailable, Unavailable
from lorb_server.engine.adapter_cache import AdapterCache
from lorb_server.telemetry.metrics import Metrics
from support.servers.serving import WAIT_SECONDS, SimulatedClock
from support.servers.stub_model import adapter_handle, adapter_weights

ADAPTER_BYTES = adapter_weights(1).size_bytes
ADAPTERS = [adapter_handle(number) for number in range(8)]


class Reader:
    """Returns stand-in weights once a gate is open, or raises an error that a test sets."""

    def __init__(self):
        self.read = []
        self.trouble = {}
        self.gates = {}

    def __call__(self, adapter):
        number = int(adapter.ref.digest, 16)
        self.read.append(number)
        if number in self.gates:
            assert self.gates[number].wait(WAIT_SECONDS)
        if number in self.trouble:
            raise self.trouble[number]
        return adapter_weights(number)


class Bench:
    """A cache with room for `room_for` adapters, with its reader, metrics and clock."""

    def __init__(self, room_for, threads=None):
        self.reader, self.metrics, self.clock = Reader(), Metrics(), SimulatedClock()
        self.cache = AdapterCache(
            self.reader,
            threads,
            self.metrics.adapters,
            room_for * ADAPTER_BYTES,
            size_of=attrgetter("size_bytes"),
            back_off_seconds=2.0,
            clock=self.clock,
        )

    def put(self, *numbers):
        for number in numbers:
            self.cache.put(ADAPTERS[number], adapter_weights(number))

    def cached_numbers(self):
        return [number for number, adapter in enumerate(ADAPTERS) if adapter.ref in self.cache]

    def sample(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


def run(test, room_for=3):
    """Runs `test(bench)` on an event loop, with threads that read."""

    async def with_bench():
        with ThreadPoolExecutor(2) as threads:
            bench = Bench(room_for, threads)
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await test(bench)
            finally:
                for gate in bench.reader.gates.values():
                    gate.set()

    asyncio.run(with_bench())


def number_of(weights):
    return int(weights.head.bias)


def test_the_least_recently_used_are_evicted():
    """The least recently used adapter is evicted; `get` counts as a use, `in` does not."""
    bench = Bench(3)
    bench.put(0, 1, 2)
    assert number_of(bench.cache.get(ADAPTERS[0])) == 0
    assert ADAPTERS[1].ref in bench.cache
    bench.put(3)
    assert bench.cached_numbers() == [0, 2, 3]
    assert bench.cache.get(ADAPTERS[1]) is None
    assert bench.sample("lorb_adapter_evictions_total") == 1
    assert bench.sample("lorb_resident_adapters") == 3
    assert bench.sample("lorb_resident_adapter_bytes") == 3 * ADAPTER_BYTES


@given(room_for=st.integers(1, 6), uses=st.lists(st.integers(0, 7), max_size=40))
def test_the_bound_holds_and_the_latest_stay(room_for, uses):
    """After any sequence of uses the cache holds the most recently used adapters within its bytes."""
    bench = Bench(room_for)
    for number in uses:
        if bench.cache.get(ADAPTERS[number]) is None:
            bench.put(number)
    latest = list(dict.fromkeys(reversed(uses)))[:room_for]
    assert bench.cached_numbers() == sorted(latest)
    assert bench.cache.size_bytes == len(latest) * ADAPTER_BYTES <= bench.cache.max_bytes
    assert bench.cache.has_room_for(1) == (not latest or len(latest) < room_for)


def test_an_adapter_larger_than_the_bound_still_serves():
    """With a bound smaller than one adapter, the latest adapter alone stays cached."""
    bench = Bench(1)
    bench.cache.max_bytes = 1
    bench.put(0, 1)
    assert bench.cached_numbers() == [1]
    assert not bench.cache.has_room_for(1)


def test_permanent_weights_are_never_evicted():
    """Permanent weights are never evicted and do not count towards the bound."""
    bench = Bench(1)
    bench.cache.put_permanent(ADAPTERS[7], adapter_weights(7))
    bench.put(0, 1, 2)
    assert number_of(bench.cache.get(ADAPTERS[7])) == 7
    assert bench.cache.size_bytes == ADAPTER_BYTES


def test_dropped_adapters_free_their_bytes():
    """Dropping an adapter frees its bytes and is not counted as an eviction; an unknown adapter is ignored."""
    bench = Bench(3)
    bench.put(0, 1)
    bench.cache.drop(ADAPTERS[0])
    bench.cache.drop(ADAPTERS[5])
    assert bench.cached_numbers() == [1]
    assert bench.cache.size_bytes == ADAPTER_BYTES
    assert bench.sample("lorb_adapter_evictions_total") == 0


def test_callers_of_one_adapter_share_a_read():
    """Callers of one adapter share one read, even if one is cancelled; other adapters are available meanwhile."""

    async def test(bench):
        bench.put(1, 2, 3)
        gate = bench.reader.gates[0] = threading.Event()
        waiting = [asyncio.create_task(bench.cache.reload(ADAPTERS[0])) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        assert number_of(await bench.cache.reload(ADAPTERS[1])) == 1
        assert number_of(await bench.cache.reload(ADAPTERS[4])) == 4  # read while the other still is
        gate.set()
        weights = await asyncio.gather(*waiting[1:])
        assert [number_of(one) for one in weights] == [0] * 3
        assert bench.reader.read == [0, 4]
        assert bench.cached_numbers() == [0, 1, 4]
        assert bench.sample("lorb_adapter_bring_backs_total", result="loaded") == 2
        assert bench.sample("lorb_adapter_bring_back_duration_seconds_count") == 2

    run(test)


def test_a_failed_read_is_retried_after_the_back_off():
    """A failed read fails its callers alone, and the store is not asked again before the back-off is over."""

    async def test(bench):
        bench.reader.trouble[0] = StoreUnavailable("gone")
        results = await asyncio.gather(
            *(bench.cache.reload(ADAPTERS[number]) for number in (0, 0, 1)), return_exceptions=True
        )
        assert [type(result) for result in results[:2]] == [StoreUnavailable] * 2
        assert number_of(results[2]) == 1
        with pytest.raises(StoreUnavailable):
            await bench.cache.reload(ADAPTERS[0])
        assert bench.reader.read.count(0) == 1
        bench.reader.trouble.clear()
        bench.clock.now += 2.0
        assert number_of(await bench.cache.reload(ADAPTERS[0])) == 0
        assert bench.sample("lorb_adapter_bring_backs_total", result="failed") == 1

    run(test)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_while_reading_is_unavailable(error):
    """An out-of-memory error while reading is Unavailable, which callers may retry."""

    async def test(bench):
        bench.reader.trouble[0] = error
        with pytest.raises(Unavailable, match="memory"):
            await bench.cache.reload(ADAPTERS[0])

    run(test)


def test_an_unexpected_error_is_reported_by_its_type():
    """An unexpected error is reported by its type, without its message."""

    async def test(bench):
        bench.reader.trouble[0] = KeyError("secret")
        with pytest.raises(InvalidAdapter, match="KeyError") as caught:
            await bench.cache.reload(ADAPTERS[0])
        assert "secret" not in caught.value.message

    run(test)


def test_a_call_keeps_the_weights_of_a_removed_adapter():
    """A dropped adapter's weights serve the calls that hold its handle, without a read; then they are freed."""
    bench = Bench(3)
    adapter, weights = adapter_handle(7), adapter_weights(7)
    bench.cache.put(adapter, weights)
    freed = weakref.ref(weights)
    bench.cache.drop(adapter)
    assert adapter.ref not in bench.cache
    assert bench.cache.size_bytes == 0
    assert bench.cache.get(adapter) is weights
    del weights, adapter
    gc.collect()
    assert freed() is None


def test_a_removed_adapter_is_not_added_again():
    """A call reads the weights of an adapter that was removed while they were off the device; they are not cached."""

    async def test(bench):
        bench.cache.drop(ADAPTERS[0])
        first = await bench.cache.reload(ADAPTERS[0])
        assert number_of(first) == 0
        assert await bench.cache.reload(ADAPTERS[0]) is first
        assert bench.reader.read == [0]
        assert bench.cached_numbers() == []
        assert bench.sample("lorb_resident_adapter_bytes") == 0

    run(test)
