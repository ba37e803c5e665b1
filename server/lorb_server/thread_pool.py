"""A thread pool that starts all its threads at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def full_pool(num_threads: int, name: str, initializer: Callable[[], object] | None = None) -> ThreadPoolExecutor:
    """A pool of `num_threads` threads, all running; each thread has called `initializer`.

    A plain ThreadPoolExecutor starts threads on demand, perhaps days later. Full pools keep the number of threads
    constant, so that a growing number shows a leak.

    Raises BrokenThreadPool if `initializer` fails.
    """
    pool = ThreadPoolExecutor(num_threads, name, initializer=initializer)
    all_started = threading.Barrier(num_threads)
    for started in [pool.submit(all_started.wait) for _ in range(num_threads)]:
        started.result()
    return pool
