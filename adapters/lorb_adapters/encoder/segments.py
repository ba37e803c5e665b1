"""Adapter segments: ranges of a batch's tokens that share an adapter."""

from collections.abc import Iterator, Sequence

import numpy as np

from lorb_adapters.lora.weights import AdapterWeights

# Triples (first token, end, adapter), in order, without overlap. Tokens outside all segments use the base alone.
Segments = Sequence[tuple[int, int, AdapterWeights]]


def adapter_segments(lengths: np.ndarray, row_adapters: np.ndarray, adapters: Sequence[AdapterWeights]) -> Segments:
    """Returns one segment for each adapter that has rows.

    lengths: the number of tokens of each row, [rows].
    row_adapters: the index of each row's adapter in `adapters`, [rows], sorted.
    """
    last_rows = np.append(np.flatnonzero(np.diff(row_adapters)), len(row_adapters) - 1)
    ends = np.cumsum(lengths)[last_rows].tolist()
    numbers = row_adapters[last_rows].tolist()
    return tuple((start, end, adapters[i]) for start, end, i in zip([0, *ends[:-1]], ends, numbers, strict=True))


def fill_gaps(segments: Segments, num_tokens: int) -> Iterator[tuple[int, int, AdapterWeights | None]]:
    """Yields ranges that cover all tokens: the segments, and the gaps before, between and after them.

    The adapter is None where the base is used alone.
    """
    position = 0
    for start, end, weights in segments:
        if start > position:
            yield position, start, None
        yield start, end, weights if weights.lora else None
        position = end
    if position < num_tokens:
        yield position, num_tokens, None
