"""lorb_server.garbage_collection: what collections look through, in a process of its own."""

import subprocess
import sys

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
