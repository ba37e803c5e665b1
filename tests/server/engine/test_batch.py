"""What a pass is made of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.engine.batch import Share, gather, is_out_of_memory, score
from support.servers.serving import TellingModel, adapter_weights, request, row, telling_score

A, B = 1, 2  # adapters, by number


def share(number, *rows, first=None):
    return Share(request(*rows, number=number), first or len(rows))


def test_equal_rows_of_one_adapter_are_scored_once():
    """The same tokens in two lists are one row, and both lists get its score."""
    work = gather([share(A, row(1, 2), row(1, 3)), share(A, row(1, 3), row(1, 2), row(1, 2))])
    assert work.rows == [row(1, 2), row(1, 3)]
    assert work.places == [[0, 1], [1, 0, 0]]
    assert (work.num_tokens, work.num_deduplicated) == (4, 3)


def test_equal_rows_of_different_adapters_are_not_one():
    """Another adapter, another score."""
    work = gather([share(A, row(1, 2)), share(B, row(1, 2))])
    assert len(work.rows) == 2
    assert work.row_adapters == [0, 1]
    assert [float(weights.head.bias) for weights in work.adapters] == [A, B]


def test_rows_that_differ_in_types_or_scored_part_are_not_one():
    """All that the score depends on tells rows apart."""
    plain = row(1, 2, 3)
    other_types = type(plain)((1, 2, 3), (0, 1, 1), 1, truncated=False)
    other_start = type(plain)((1, 2, 3), (0, 0, 0), 2, truncated=False)
    assert len(gather([share(A, plain, other_types, other_start)]).rows) == 3


rows = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda ids: row(*ids))
jobs = st.lists(st.tuples(st.sampled_from([A, B]), st.lists(rows, min_size=1, max_size=6)), min_size=1, max_size=6)


@given(jobs, st.integers(1, 20))
def test_each_list_gets_its_own_scores(lists, max_tokens):
    """Whatever is mixed, deduplicated or split over passes, every row has the score of its text and adapter."""
    scores = score(TellingModel(), gather([share(adapter, *of_list) for adapter, of_list in lists]), max_tokens)
    for (adapter, rows_of_list), of_list in zip(lists, scores, strict=True):
        assert of_list == tuple(telling_score(each, adapter_weights(adapter)) for each in rows_of_list)


def test_a_list_that_was_cut_brings_its_first_rows_only():
    """Rows beyond those that are to be scored cost nothing."""
    assert gather([share(A, row(1), row(2), row(3), first=2)]).rows == [row(1), row(2)]


@pytest.mark.parametrize("most_rows", [1, 2, 3])
def test_what_memory_does_not_hold_is_scored_in_halves(most_rows):
    """Down to single rows, each with its own score; each shortage is told."""
    model, shortages = TellingModel(), []
    model.most_rows = most_rows
    rows_of_list = [row(i, i) for i in range(7)]
    [scores] = score(model, gather([share(A, *rows_of_list)]), 1000, lambda: shortages.append(1))
    assert scores == tuple(telling_score(each, adapter_weights(A)) for each in rows_of_list)
    assert shortages


def test_a_row_that_memory_does_not_hold_alone_raises():
    """There is nothing left to halve."""
    model = TellingModel()
    model.most_rows = 0
    with pytest.raises(torch.OutOfMemoryError):
        score(model, gather([share(A, row(1))]), 1000)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    """On the GPU, in Python and in torch's CPU allocator."""
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(("max_tokens", "passes"), [(100, [4]), (6, [2, 2]), (3, [1, 1, 1, 1]), (1, [1, 1, 1, 1])])
def test_more_than_the_budget_takes_several_passes(max_tokens, passes):
    """A list larger than the budget is cut between rows; a row larger than it goes alone."""
    model = TellingModel()
    score(model, gather([share(A, *(row(i, i, i) for i in range(4)))]), max_tokens)
    assert model.passes == passes
