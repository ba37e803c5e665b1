"""Pools whose threads are all there from the start."""

import threading
from concurrent.futures.thread import BrokenThreadPool

import pytest

from lorb_server.thread_pool import full_pool


def test_all_threads_are_there_before_any_work_and_stay_as_many():
    """The pool has its threads, each prepared, before the first work; work that comes thick and fast adds none."""
    prepared = []
    with full_pool(3, "some", lambda: prepared.append(threading.current_thread())) as pool:
        assert len(set(prepared)) == 3
        names = set(pool.map(lambda _: threading.current_thread().name, range(300)))
        assert names <= {each.name for each in prepared}
        assert all(name.startswith("some") for name in names)


def test_a_thread_that_cannot_be_prepared_is_an_error():
    """Whoever wants the pool hears of it, and does not wait."""

    def fail():
        raise OSError("no")

    with pytest.raises(BrokenThreadPool):
        full_pool(2, "some", fail)
