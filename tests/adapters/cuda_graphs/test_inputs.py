"""The static inputs of a CUDA graph: rows and padding, and the pinned buffers that they are copied from."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.cuda_graphs.graph import GraphBucket
from lorb_adapters.cuda_graphs.inputs import PinnedBuffers, StaticInputs
from lorb_adapters.cuda_graphs.slots import NUM_SLOTS
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.text import EncodedHypothesis

BUCKET = GraphBucket(tokens=100, rows=10, max_row_tokens=30)
ADAPTERS = [base_only_weights(HeadWeights.zeros(kind, 1)) for kind in ("sum", "cls")]
SLOTS = [(3,), (6, 1)]

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=10).filter(lambda each: sum(each) <= BUCKET.tokens)


def written(rows, row_adapters, *, dirty=False):
    """Returns the inputs after a copy to the device; dirty: the host memory held other numbers before."""
    inputs = StaticInputs(BUCKET, 2, torch.device("cpu"))
    host = np.full(len(inputs.buffer), 77 if dirty else 0, np.int32)
    inputs.write(host, rows, ADAPTERS, np.array(row_adapters), SLOTS)
    inputs.buffer.copy_(torch.from_numpy(host))
    return inputs


def make_rows(row_lengths):
    return [EncodedHypothesis(tuple(range(5, 5 + n)), (1,) * n, min(1, n - 1), False) for n in row_lengths]


@given(lengths)
def test_every_token_is_in_a_row_of_allowed_length(row_lengths):
    """Offsets rise from 0 to the last token, no row is too long, and the first rows are those given."""
    inputs = written(make_rows(row_lengths), [0] * len(row_lengths))
    offsets = inputs.offsets.tolist()
    assert len(offsets) == BUCKET.rows + BUCKET.padding_rows + 1
    assert (offsets[0], offsets[-1]) == (0, BUCKET.tokens)
    sizes = np.diff(offsets)
    assert sizes.min() >= 0
    assert sizes.max() <= BUCKET.max_row_tokens
    assert sizes[: len(row_lengths)].tolist() == row_lengths
    assert inputs.starts.tolist() == [*offsets[: len(row_lengths)], *[0] * (BUCKET.rows - len(row_lengths))]


@given(lengths, st.data())
def test_nothing_of_an_earlier_batch_is_left(row_lengths, data):
    """Every number that a graph reads is written anew for each batch."""
    row_adapters = data.draw(st.lists(st.integers(0, 1), min_size=len(row_lengths), max_size=len(row_lengths)))
    clean, dirty = (written(make_rows(row_lengths), row_adapters, dirty=dirty) for dirty in (False, True))
    for name, part in vars(clean).items():
        if name != "buffer" and isinstance(part, torch.Tensor):
            assert torch.equal(part, getattr(dirty, name)), name


def test_rows_and_padding_are_distinct():
    """Each token has its adapter's slot, its scored row and its position; padding tokens have neutral values."""
    inputs = written(make_rows([2, 3]), [1, 0])
    assert inputs.token_ids[:7].tolist() == [5, 6, 5, 6, 7, 0, 0]
    assert inputs.type_ids[:7].tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert inputs.position_ids[:7].tolist() == [2, 3, 2, 3, 4, 2, 2]
    assert inputs.token_slots[:7].tolist() == [6, 6, 3, 3, 3, -2, -2]
    assert (inputs.head_positions[:7] - torch.arange(7) * NUM_SLOTS).tolist() == [6, 6, 3, 3, 3, 0, 0]
    assert inputs.scored_rows[:7].tolist() == [10, 0, 10, 1, 1, 10, 10]
    assert inputs.num_scored[:3].tolist() == [1, 2, 1]
    assert inputs.row_slots[:2].tolist() == [6, 3]
    assert inputs.head_kinds[:2].tolist() == [2, 0]
    owners = inputs.rank_owners.view(NUM_SLOTS, -1)
    assert [set(each.tolist()) for each in owners] == [{-1}, {6}, {-1}, {3}, {-1}, {-1}, {6}, {-1}]


def send(buffers, value, target):
    buffers.acquire()[: len(target)] = value
    buffers.send(target)


def test_pinned_buffers_deliver_each_copy():
    """Copies of different sizes, in turn from two buffers, arrive with their own numbers."""
    buffers = PinnedBuffers(4, torch.device("cpu"))
    targets = [torch.zeros(size, dtype=torch.int32) for size in (4, 2, 3)]
    for value, target in enumerate(targets, start=1):
        send(buffers, value, target)
    assert [each.tolist() for each in targets] == [[1] * 4, [2] * 2, [3] * 3]


@pytest.mark.gpu
def test_a_buffer_in_flight_is_not_overwritten():
    """Copies queued behind other work on the device deliver their own numbers."""
    size = 1 << 20
    buffers = PinnedBuffers(size, torch.device("cuda"))
    busy = torch.randn(4096, 4096, device="cuda")
    targets = [torch.zeros(size, dtype=torch.int32, device="cuda") for _ in range(12)]
    for value, target in enumerate(targets, start=1):
        for _ in range(3):
            busy = busy @ busy * 1e-4
        send(buffers, value, target)
    assert [bool((target == value).all()) for value, target in enumerate(targets, start=1)] == [True] * 12
