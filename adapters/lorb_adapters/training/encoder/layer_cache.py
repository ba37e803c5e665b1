"""A cache on disk of the hidden states that frozen layers compute for each row."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.atomic_files import atomic_file, partial_path
from lorb_adapters.text import EncodedHypothesis

_VECTORS, _INDEX = "hidden.bin", "hidden.json"
_TOKENS_PER_PASS = 8192
_RESERVED_BYTES = 64 << 20  # space that stays free on the disk for checkpoints and a report

# Computes the vectors of rows: takes rows sorted by length; returns their vectors, end to end, [vectors, width].
ComputeVectors = Callable[[Sequence[EncodedHypothesis]], Tensor]


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """The contents of a cache: caches with equal layouts hold equal vectors.

    Attributes:
        key: identifies what computes the vectors: base, layers, head.
        rows: distinct rows, sorted by length.
        counts: number of vectors of each row.
        width: length of a vector.
        dtype: dtype of the vectors.
    """

    key: str
    rows: tuple[EncodedHypothesis, ...]
    counts: tuple[int, ...]
    width: int
    dtype: torch.dtype

    @classmethod
    def of(
        cls, key: str, rows: Sequence[EncodedHypothesis], width: int, dtype: torch.dtype, *, per_token: bool
    ) -> "CacheLayout":
        """Returns the layout for `rows`, in any order and with repetitions.

        per_token: whether the cache has a vector for each token, or one vector for each row.
        """
        distinct = tuple(sorted(dict.fromkeys(rows), key=lambda row: (row.num_tokens, row.token_ids)))
        counts = tuple(row.num_tokens if per_token else 1 for row in distinct)
        return cls(key, distinct, counts, width, dtype)

    @property
    def size_bytes(self) -> int:
        """Size of the file of vectors, in bytes."""
        return sum(self.counts) * self.width * self.dtype.itemsize

    @property
    def digest(self) -> str:
        """SHA-256 of all values that decide the contents, in hex."""
        digest = hashlib.sha256(f"{self.key} {self.width} {self.dtype}\n".encode())
        for row, count in zip(self.rows, self.counts, strict=True):
            digest.update(f"{row.token_ids}{row.type_ids}{row.scored_from} {count}\n".encode())
        return digest.hexdigest()


class LayerCache:
    """Reads the vectors of rows from a file."""

    def __init__(self, folder: Path, layout: CacheLayout) -> None:
        """folder: has a complete cache with this layout."""
        stored = np.memmap(
            folder / _VECTORS,
            dtype=np.uint8,  # numpy has no bfloat16
            mode="c",  # copy-on-write, because torch warns about read-only memory; nothing is written
            shape=(sum(layout.counts), layout.width * layout.dtype.itemsize),
        )
        self._vectors = torch.from_numpy(stored).view(layout.dtype)
        ends = np.cumsum(layout.counts).tolist()
        self._spans = {
            row: (end - count, end) for row, end, count in zip(layout.rows, ends, layout.counts, strict=True)
        }

    def contains(self, rows: Sequence[EncodedHypothesis]) -> bool:
        """Whether all rows are cached."""
        return all(row in self._spans for row in rows)

    def vectors(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Returns the vectors of cached rows, end to end, [vectors, width], copied into memory."""
        parts = [self._vectors[start:stop] for start, stop in map(self._spans.__getitem__, rows)]
        return torch.cat(parts)

    @staticmethod
    def is_complete(folder: Path, layout: CacheLayout) -> bool:
        """Whether the folder has a complete cache with this layout."""
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            size = (folder / _VECTORS).stat().st_size
        except (OSError, ValueError):
            return False
        return bool(size == layout.size_bytes and index.get("digest") == layout.digest)

    @staticmethod
    def build(folder: Path, layout: CacheLayout, compute: ComputeVectors) -> None:
        """Computes and writes all vectors; an interrupted build leaves no complete cache.

        Raises InvalidInput if the disk has not enough space or cannot be written.
        """
        LayerCache.remove(folder)
        free = shutil.disk_usage(folder).free
        if layout.size_bytes + _RESERVED_BYTES > free:
            raise InvalidInput(
                f"the hidden states of {len(layout.rows):,} rows take {layout.size_bytes / 2**20:,.0f} MiB, and "
                f"{folder} has {free / 2**20:,.0f} MiB free: give another --run-dir, or --no-layer-cache to compute "
                "them in every step",
                field="run-dir",
            )
        with atomic_file(folder / _VECTORS, "run-dir", sync=True) as file:
            for rows in _passes(layout):
                with torch.inference_mode():
                    vectors = compute(rows)
                file.write(vectors.to(layout.dtype).cpu().contiguous().view(torch.uint8).numpy().tobytes())
        index = {"digest": layout.digest, "rows": len(layout.rows), "bytes": layout.size_bytes}
        (folder / _INDEX).write_text(json.dumps(index), encoding="utf-8")

    @staticmethod
    def remove(folder: Path) -> None:
        """Removes a cache, complete or partial."""
        for path in (folder / _INDEX, folder / _VECTORS, partial_path(folder / _VECTORS)):
            path.unlink(missing_ok=True)


def _passes(layout: CacheLayout) -> Iterator[list[EncodedHypothesis]]:
    """Yields the rows of each forward pass; the number of tokens in a pass is bounded."""
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
