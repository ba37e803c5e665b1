"""What frozen layers make of each row, computed once and kept on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.text import EncodedHypothesis

_VECTORS, _INDEX = "hidden.bin", "hidden.json"
_TOKENS_PER_PASS = 8192
_SPARE_BYTES = 64 << 20  # beside the cache: checkpoints, a report
# numpy has no bfloat16: its bits are kept as integers
_STORED = {torch.float32: torch.float32, torch.bfloat16: torch.int16}

# Vectors of rows, end to end.
Compute = Callable[[Sequence[EncodedHypothesis]], Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a cache holds: where two are equal so are their contents.

    Attributes:
        key: digest of what computes the vectors (base, layers) and in which precision.
        rows: distinct, sorted by length.
        counts: vectors of each row.
        width: numbers in a vector.
        dtype: of the vectors.
    """

    key: str
    rows: tuple[EncodedHypothesis, ...]
    counts: tuple[int, ...]
    width: int
    dtype: torch.dtype

    @classmethod
    def of(
        cls, key: str, rows: Sequence[EncodedHypothesis], width: int, dtype: torch.dtype, *, per_token: bool
    ) -> "Layout":
        """For rows, in any order and with repetitions; one vector a token, or one a row."""
        distinct = tuple(sorted(dict.fromkeys(rows), key=lambda row: (row.num_tokens, row.token_ids)))
        counts = tuple(row.num_tokens if per_token else 1 for row in distinct)
        return cls(key, distinct, counts, width, dtype)

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return sum(self.counts) * self.width * self.dtype.itemsize

    @property
    def digest(self) -> str:
        """sha256 of all that decides what the file holds, in hex."""
        digest = hashlib.sha256(f"{self.key} {self.width} {self.dtype}\n".encode())
        for row, count in zip(self.rows, self.counts, strict=True):
            digest.update(f"{row.token_ids}{row.type_ids}{row.scored_from} {count}\n".encode())
        return digest.hexdigest()


class LayerCache:
    """Vectors of rows from a file."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        """`folder` has what `make` left there."""
        stored = np.memmap(
            folder / _VECTORS,
            dtype=np.int16 if layout.dtype == torch.bfloat16 else np.float32,
            mode="c",  # nothing writes; torch would warn of memory that it must not write to
            shape=(sum(layout.counts), layout.width),
        )
        self._stored, self._dtype = torch.from_numpy(stored), layout.dtype
        ends = np.cumsum(layout.counts).tolist()
        self._places = {
            row: (end - count, end) for row, end, count in zip(layout.rows, ends, layout.counts, strict=True)
        }

    def holds(self, rows: Sequence[EncodedHypothesis]) -> bool:
        """Whether it has the vectors of all of them."""
        return all(row in self._places for row in rows)

    def vectors(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Those of `rows`, all of which it holds, end to end, [vectors, width] in memory."""
        parts = [self._stored[start:stop] for start, stop in map(self._places.__getitem__, rows)]
        return torch.cat(parts).view(self._dtype)

    @staticmethod
    def is_made(folder: Path, layout: Layout) -> bool:
        """Whether the folder's file holds what `layout` says."""
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            size = (folder / _VECTORS).stat().st_size
        except (OSError, ValueError):
            return False
        return bool(size == layout.size_bytes and index.get("digest") == layout.digest)

    @staticmethod
    def make(folder: Path, layout: Layout, compute: Compute) -> None:
        """Computes all vectors and writes them, whole or not at all.

        Raises InvalidInput where there is not room enough for them.
        """
        LayerCache.remove(folder)
        free = shutil.disk_usage(folder).free
        if layout.size_bytes + _SPARE_BYTES > free:
            raise InvalidInput(
                f"the hidden states of {len(layout.rows):,} rows take {layout.size_bytes / 2**20:,.0f} MiB, and "
                f"{folder} has {free / 2**20:,.0f} MiB free: give another --run-dir, or --no-layer-cache to compute "
                "them in every step",
                field="run-dir",
            )
        partial = folder / f"{_VECTORS}.partial"
        with open(partial, "wb") as file:
            for rows in _passes(layout):
                with torch.inference_mode():
                    vectors = compute(rows)
                stored = vectors.to(layout.dtype).cpu().contiguous().view(_STORED[layout.dtype])
                file.write(stored.numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / _VECTORS)
        index = {"digest": layout.digest, "rows": len(layout.rows), "bytes": layout.size_bytes}
        (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes what `make` left, whole or in part."""
        for name in (_INDEX, _VECTORS, f"{_VECTORS}.partial"):
            (folder / name).unlink(missing_ok=True)


def _passes(layout: Layout) -> Iterator[list[EncodedHypothesis]]:
    rows: list[EncodedHypothesis] = []
    num_tokens = 0
    for row in layout.rows:
        rows.append(row)
        num_tokens += row.num_tokens
        if num_tokens >= _TOKENS_PER_PASS:
            yield rows
            rows, num_tokens = [], 0
    if rows:
        yield rows
