"""Adapter segments: contiguous token ranges, and the gaps between them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.encoder.segments import adapter_segments, fill_gaps
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights

HEAD = HeadWeights.zeros("sum", 1)
ADAPTERS = [AdapterWeights(LoraConfig(), {"path": (HEAD.weight, HEAD.weight)}, HEAD) for _ in range(3)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), min_size=1))
def test_segments_cover_the_rows_of_each_adapter(rows):
    """Each adapter has one segment, and it holds exactly the tokens of the adapter's rows."""
    rows = sorted(rows)
    numbers, lengths = (np.array(values) for values in zip(*rows, strict=True))
    owners = np.repeat(numbers, lengths)
    segments = adapter_segments(lengths, numbers, ADAPTERS)
    assert [ADAPTERS.index(weights) for _, _, weights in segments] == sorted(set(numbers.tolist()))
    for start, end, weights in segments:
        assert np.array_equal(np.flatnonzero(owners == ADAPTERS.index(weights)), np.arange(start, end))


def test_gaps_are_filled_at_either_end_and_between():
    """The ranges cover all tokens; gaps and adapters without LoRA have no weights."""
    first, second, _ = ADAPTERS
    segments = [(2, 5, first), (5, 6, second), (8, 9, base_only_weights(HEAD))]
    assert list(fill_gaps(segments, 12)) == [
        (0, 2, None), (2, 5, first), (5, 6, second), (6, 8, None), (8, 9, None), (9, 12, None),
    ]  # fmt: skip
    assert list(fill_gaps([], 3)) == [(0, 3, None)]
