"""What a captured pass reads of its rows, the fillers included."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_adapters.cuda_graphs.adapter_slots import NUM_SLOTS
from lorb_adapters.cuda_graphs.bucket import GraphBucket, shapes_up_to
from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.text import EncodedHypothesis

SHAPE = GraphBucket(tokens=100, rows=10, longest=30)
ADAPTERS = [base_only_weights(HeadWeights.zeros(kind, 1)) for kind in ("sum", "cls")]
SLOTS = [(3,), (6, 1)]

lengths = st.lists(st.integers(1, 30), min_size=1, max_size=10).filter(lambda each: sum(each) <= SHAPE.tokens)


def written(rows, row_adapters, *, dirty=False):
    """The inputs as the device has them; `dirty`: the memory held something else before."""
    inputs = StaticInputs(SHAPE, 2, torch.device("cpu"))
    there = np.full(len(inputs.buffer), 77 if dirty else 0, np.int32)
    inputs.write(there, rows, ADAPTERS, np.array(row_adapters), SLOTS)
    inputs.buffer.copy_(torch.from_numpy(there))
    return inputs


def make_rows(row_lengths):
    return [EncodedHypothesis(tuple(range(5, 5 + n)), (1,) * n, min(1, n - 1), False) for n in row_lengths]


@given(lengths)
def test_every_token_is_in_a_row_that_the_kernel_takes(row_lengths):
    """Offsets rise from 0 to the last token, no row is too long, and the rows scored are those given."""
    inputs = written(make_rows(row_lengths), [0] * len(row_lengths))
    offsets = inputs.offsets.tolist()
    assert len(offsets) == SHAPE.rows + SHAPE.spare_rows + 1
    assert (offsets[0], offsets[-1]) == (0, SHAPE.tokens)
    sizes = np.diff(offsets)
    assert sizes.min() >= 0
    assert sizes.max() <= SHAPE.longest
    assert sizes[: len(row_lengths)].tolist() == row_lengths
    assert inputs.starts.tolist() == [*offsets[: len(row_lengths)], *[0] * (SHAPE.rows - len(row_lengths))]


@given(lengths, st.data())
def test_nothing_of_an_earlier_pass_is_left(row_lengths, data):
    """Every number that a pass reads is written, whatever was there."""
    which = data.draw(st.lists(st.integers(0, 1), min_size=len(row_lengths), max_size=len(row_lengths)))
    clean, dirty = (written(make_rows(row_lengths), which, dirty=dirty) for dirty in (False, True))
    for name, part in vars(clean).items():
        if name != "buffer" and isinstance(part, torch.Tensor):
            assert torch.equal(part, getattr(dirty, name)), name


def test_rows_and_fillers_are_told_apart():
    """Token by token: who owns it, what it counts for, and where it stands in its row."""
    inputs = written(make_rows([2, 3]), [1, 0])
    assert inputs.token_ids[:7].tolist() == [5, 6, 5, 6, 7, 0, 0]
    assert inputs.type_ids[:7].tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert inputs.position_ids[:7].tolist() == [2, 3, 2, 3, 4, 2, 2]
    assert inputs.token_slots[:7].tolist() == [6, 6, 3, 3, 3, -2, -2]
    assert (inputs.head_places[:7] - torch.arange(7) * NUM_SLOTS).tolist() == [6, 6, 3, 3, 3, 0, 0]
    assert inputs.scored_rows[:7].tolist() == [10, 0, 10, 1, 1, 10, 10]
    assert inputs.num_scored[:3].tolist() == [1, 2, 1]
    assert inputs.row_slots[:2].tolist() == [6, 3]
    assert inputs.head_kinds[:2].tolist() == [2, 0]
    owners = inputs.column_owners.view(NUM_SLOTS, -1)
    assert [set(each.tolist()) for each in owners] == [{-1}, {6}, {-1}, {3}, {-1}, {-1}, {6}, {-1}]


def test_shapes_keep_within_the_budget():
    """The largest first, none beyond what a pass may read."""
    assert [shape.tokens for shape in shapes_up_to(600)] == [512, 384, 256, 128]
    assert shapes_up_to(100) == ()
    assert max(shape.tokens for shape in shapes_up_to(8192)) == 2048
