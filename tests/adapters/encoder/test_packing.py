"""Packing: where rows lie among the tokens, and the CUDA kernel that reads them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.encoder.packing import pack
from lorb_adapters.text import EncodedHypothesis

rows_strategy = st.lists(
    st.integers(2, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), min_size=1, max_size=12
).map(
    lambda shapes: [
        EncodedHypothesis(tuple(range(100 * i, 100 * i + n)), (i % 2,) * n, scored_from, False)
        for i, (n, scored_from) in enumerate(shapes)
    ]
)


@given(rows_strategy, st.integers(0, 2))
def test_rows_lie_end_to_end(rows, first_position):
    """Token ids, positions, starts and scored positions are those of the rows in order, without padding."""
    packed = pack(rows, first_position=first_position)
    assert packed.token_ids[0].tolist() == [t for row in rows for t in row.token_ids]
    assert packed.type_ids[0].tolist() == [t for row in rows for t in row.type_ids]
    assert packed.position_ids[0].tolist() == [first_position + p for row in rows for p in range(row.num_tokens)]
    starts = packed.starts.tolist()
    assert packed.offsets.tolist() == [*starts, packed.num_tokens]
    scored = [
        start + p for start, row in zip(starts, rows, strict=True) for p in range(row.scored_from, row.num_tokens)
    ]
    assert packed.scored_positions.tolist() == scored
    assert packed.num_scored.tolist() == [row.num_tokens - row.scored_from for row in rows]
    assert packed.max_length == max(row.num_tokens for row in rows)


@pytest.mark.gpu
def test_the_varlen_kernel_agrees_with_the_cpu(tiny_bert):
    """On CUDA in bfloat16 the packed kernel gives the CPU's scores within rounding."""
    from lorb_adapters.base.loader import load_base
    from lorb_adapters.lora.head import HeadWeights
    from lorb_adapters.lora.weights import base_only_weights
    from lorb_adapters.model import RescoringModel

    rows = [EncodedHypothesis((2, *range(10, 10 + n), 3), (0,) * (n + 2), 1, False) for n in (3, 8, 5)]
    weights = base_only_weights(HeadWeights("sum", torch.linspace(-1, 1, 32), torch.zeros(())))
    on_cpu = RescoringModel(load_base(str(tiny_bert))).score(rows, [weights], [0] * 3)
    base = load_base(str(tiny_bert), device="cuda", dtype=torch.bfloat16)
    on_gpu = RescoringModel(base).score(rows, [weights.to("cuda", torch.bfloat16)], [0] * 3)
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0.05, atol=0.1)
