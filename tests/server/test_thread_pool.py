"""lorb_server.thread_pool: pools that start all their threads at once, and limit the time of functions."""

import asyncio
import threading
import time
from concurrent.futures.thread import BrokenThreadPool

import pytest

from lorb.errors import StoreUnavailable
from lorb_server.thread_pool import StoreThreads, full_pool
from support.servers.serving import WAIT_SECONDS, SimulatedClock


def test_all_threads_start_at_once_and_stay_as_many():
    """A pool has all its initialised threads before its first work, and never starts another."""
    prepared = []
    with full_pool(3, "some", lambda: prepared.append(threading.current_thread())) as pool:
        assert len(set(prepared)) == 3
        names = set(pool.map(lambda _: threading.current_thread().name, range(300)))
        assert names <= {each.name for each in prepared}
        assert all(name.startswith("some") for name in names)


def test_an_initialiser_that_raises_fails_the_pool():
    """An initialiser that raises fails the construction of the pool."""

    def fail():
        raise OSError("no")

    with pytest.raises(BrokenThreadPool):
        full_pool(2, "some", fail)


@pytest.fixture
def hanging():
    """Store threads with a simulated clock, the clock, and a gate that `gate.wait` waits for."""
    clock, gate = SimulatedClock(), threading.Event()
    threads = StoreThreads(5.0, 2, "store", clock=clock)
    yield threads, clock, gate
    gate.set()
    threads.shutdown()


def _until(condition):
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


def test_results_and_errors_of_functions_are_passed_on(hanging):
    """A function's result and its error reach the future."""
    threads = hanging[0]
    assert threads.submit(divmod, 7, 2).result(WAIT_SECONDS) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 7, 0).result(WAIT_SECONDS)


def test_a_function_that_hangs_fails_in_time_and_blocks_no_thread_after_it(hanging):
    """A hanging function fails at its time limit; until it returns, others fail at once and take no thread."""
    threads, clock, gate = hanging
    hung = threads.submit(gate.wait)
    _until(hung.running)
    clock.now += 4.9
    assert threads.submit(divmod, 7, 2).result(WAIT_SECONDS) == (3, 1)  # the other thread is free
    clock.now += 0.2
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="has not answered for 5 s"):
            threads.submit(divmod, 7, 2).result(WAIT_SECONDS)
    with pytest.raises(StoreUnavailable):
        hung.result(WAIT_SECONDS)
    gate.set()
    _until(lambda: not threads._running)
    assert threads.submit(divmod, 7, 2).result(WAIT_SECONDS) == (3, 1)


def test_functions_that_wait_for_hanging_ones_fail_too(hanging):
    """A function that no thread has taken fails together with those that hang, and is never called."""
    threads, clock, gate = hanging
    hung = [threads.submit(gate.wait) for _ in range(2)]
    _until(lambda: all(future.running() for future in hung))
    called = []
    waiting = threads.submit(called.append, 1)
    clock.now += 5.0
    late = threads.submit(called.append, 2)  # this call notices that the time is over
    for future in (*hung, waiting, late):
        with pytest.raises(StoreUnavailable):
            future.result(WAIT_SECONDS)
    gate.set()
    _until(lambda: not threads._running)
    assert called == []


def test_the_time_limit_needs_no_further_call():
    """A hanging function fails although nothing else is submitted."""
    gate = threading.Event()
    threads = StoreThreads(0.01, 1, "store")
    with pytest.raises(StoreUnavailable):
        threads.submit(gate.wait).result(WAIT_SECONDS)
    gate.set()
    threads.shutdown()


def test_a_caller_that_gives_up_leaves_no_hanging_function_unnoticed(hanging):
    """A function whose caller is cancelled still counts as hanging, and the functions after it fail."""
    threads, clock, gate = hanging

    async def test():
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(threads, gate.wait) for _ in range(2)]
        await asyncio.to_thread(_until, lambda: len(threads._running) == 2)
        for call in calls:
            call.cancel()
        clock.now += 5.0
        with pytest.raises(StoreUnavailable):
            await loop.run_in_executor(threads, divmod, 7, 2)

    asyncio.run(test())
