"""Pools of threads that have all their threads from the start."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def full_pool(num_threads: int, name: str, initializer: Callable[[], object] | None = None) -> ThreadPoolExecutor:
    """A pool with all its threads running; each has called `initializer`.

    ThreadPoolExecutor by itself starts one more whenever work comes before a worker has said that it is idle, be it
    after days: a server whose number of threads never changes shows one that leaks.

    Raises BrokenThreadPool where `initializer` fails.
    """
    pool = ThreadPoolExecutor(num_threads, name, initializer=initializer)
    all_are_there = threading.Barrier(num_threads)
    for started in [pool.submit(all_are_there.wait) for _ in range(num_threads)]:
        started.result()
    return pool
