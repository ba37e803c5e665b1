"""Caches scores by adapter weights and tokens, because voice assistants often hear the same sentences.

A score depends on the base, the dtype, the adapter's weights, the token and type ids and the scored positions. A
server has one base and one dtype; a key holds the other inputs in full, so that different inputs never share a key. A
key also holds the caller: a caller who shared others' scores could tell by the time of an answer what they have sent.
"""

import struct
import sys
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from lorb_adapters.text import EncodedHypothesis

Key = tuple[str, bytes, str]  # digest of the adapter weights, encoded hypothesis, caller

# The memory that an entry takes besides its encoded hypothesis: measured in CPython, and rounded up.
ENTRY_OVERHEAD_BYTES = 320


class ScoreCache:
    """A cache of scores, bounded in bytes; the least recently used scores are evicted. Belongs to one thread.

    Attributes:
        max_bytes: the most bytes of memory; 0 turns the cache off.
        is_shared: whether all callers share the scores.
        size_bytes: bytes of memory that the entries take.
    """

    def __init__(self, max_bytes: int, *, is_shared: bool = False) -> None:
        self.max_bytes = max_bytes
        self.is_shared = is_shared
        self.size_bytes = 0
        self._scores: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    def keys(self, digest: str, hypotheses: Sequence[EncodedHypothesis], caller: str) -> list[Key]:
        """The key of each hypothesis for the adapter weights with `digest`; an empty list if the cache is off."""
        if not self.max_bytes:
            return []
        owner = "" if self.is_shared else sys.intern(caller)  # all entries of a caller hold one string
        return [(digest, _hypothesis_bytes(each), owner) for each in hypotheses]

    def get(self, key: Key) -> float | None:
        """The score of a key; None if no score is cached."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: Key, score: float) -> None:
        """Adds a score, unless the key has one."""
        if key in self._scores:
            return
        self._scores[key] = score
        self.size_bytes += _size_bytes(key)
        while self.size_bytes > self.max_bytes:
            oldest, _ = self._scores.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest)


def _hypothesis_bytes(hypothesis: EncodedHypothesis) -> bytes:
    """An unambiguous encoding: the first scored position, the number of tokens, the token ids, the type ids."""
    header = struct.pack("<II", hypothesis.scored_from, len(hypothesis.token_ids))
    return header + array("I", hypothesis.token_ids).tobytes() + bytes(hypothesis.type_ids)


def _size_bytes(key: Key) -> int:
    return sys.getsizeof(key[1]) + ENTRY_OVERHEAD_BYTES
