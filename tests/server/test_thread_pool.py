"""lorb_server.thread_pool: pools that start all their threads at once."""

import threading
from concurrent.futures.thread import BrokenThreadPool

import pytest

from lorb_server.thread_pool import full_pool


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
