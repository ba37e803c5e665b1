"""Scores the model has given before: a voice assistant's traffic repeats itself.

A row's score depends on the base, the adapter's weights, the dtype, the token and type ids and the scored
positions. Base and dtype are one for a server's life; the rest is the key, in full, so that no two rows share one.
"""

import struct
import sys
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from lorb_adapters.text import EncodedHypothesis

Key = tuple[str, bytes]

# What CPython and the OrderedDict need for an entry beside its key's bytes: measured, rounded up.
ENTRY_OVERHEAD_BYTES = 320


class ScoreCache:
    """The least recently used scores leave when the bytes run out. Belongs to one thread."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` 0 turns it off."""
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._scores: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    def keys(self, digest: str, rows: Sequence[EncodedHypothesis]) -> list[Key]:
        """What the rows' scores under the adapter weights of `digest` are kept under; none where it is off."""
        return [(digest, _row_bytes(row)) for row in rows] if self.max_bytes else []

    def get(self, key: Key) -> float | None:
        """A score given before, or None."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: Key, score: float) -> None:
        """Keeps a score."""
        if key in self._scores:
            return
        self._scores[key] = score
        self.size_bytes += _size_bytes(key)
        while self.size_bytes > self.max_bytes:
            oldest, _ = self._scores.popitem(last=False)
            self.size_bytes -= _size_bytes(oldest)


def _row_bytes(row: EncodedHypothesis) -> bytes:
    """The row spelled so that it can be read back: where scoring begins, how many tokens, their ids, their types."""
    header = struct.pack("<II", row.scored_from, len(row.token_ids))
    return header + array("I", row.token_ids).tobytes() + bytes(row.type_ids)


def _size_bytes(key: Key) -> int:
    return sys.getsizeof(key[1]) + ENTRY_OVERHEAD_BYTES
