"""Keeps Python's garbage collections short, because all threads wait for them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# A collection of the youngest objects begins after so many allocations, and one of all objects after 100 of those.
# Python's 700 would look through all the objects of a large batch again and again while they are alive.
_YOUNG_ALLOCATIONS = 10_000


@contextmanager
def without_collections() -> Iterator[None]:
    """Collects nothing meanwhile. Importing torch and transformers takes a sixth less time without collections.

    The modules are 200,000 objects that stay, and Python would look for garbage among them 500 times.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def shorten_collections() -> None:
    """Exempts the objects that exist now from collections, and makes collections rare.

    Modules and the base are half a million objects, which live until the process ends: looking through them takes 0.1 s
    or more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_ALLOCATIONS, 10, 10)
