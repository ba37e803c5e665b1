"""lorb_server.garbage_collection: what collections look through, in a process of its own."""

import gc
import subprocess
import sys

import pytest

from lorb_server.garbage_collection import without_collections

CODE = """
import gc
from lorb_server.garbage_collection import shorten_collections
loaded = [[number] for number in range(100_000)]
shorten_collections()
tracked = len(gc.get_objects())
cycle = []
cycle.append(cycle)
del cycle
print(tracked, gc.collect(), *gc.get_threshold())
"""


def test_collections_skip_what_was_loaded_and_still_free_cycles():
    """Objects from before are exempt from collections; a later cycle is still freed; collections are rarer."""
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)  # noqa: S603
    tracked, num_freed, *thresholds = map(int, ended.stdout.split())
    assert tracked < 1000
    assert num_freed >= 1
    assert thresholds == [10_000, 10, 10]


def num_collections():
    """How many collections of each generation have run."""
    return [generation["collections"] for generation in gc.get_stats()]


def test_nothing_is_collected_meanwhile():
    """No collection runs inside, however many objects are made; afterwards collections are on again."""
    with without_collections():
        before = num_collections()
        kept = [[number] for number in range(100_000)]
        assert num_collections() == before
    assert gc.isenabled()
    assert len(kept) == 100_000


def test_collections_go_on_after_an_error():
    """An import that fails leaves collections on."""
    with pytest.raises(ModuleNotFoundError), without_collections():
        import no_such_module  # noqa: F401
    assert gc.isenabled()
