"""lorb_server.engine.batch and batch_runner: lists packed into batches, and scored within tokens and memory."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.engine.batch import Batch
from lorb_server.engine.batch_runner import score
from support.engine.running_engine import entry
from support.servers.stub_model import StubModel, adapter_weights, row, stub_score


def batch_of(*lists):
    """A packed batch of lists, each a number of an adapter and its hypotheses."""
    return Batch.of([entry(*rows, number=number) for number, *rows in lists])


def test_equal_rows_of_one_adapter_are_scored_once():
    """The same tokens in two lists are one row, and both lists get its score."""
    batch = batch_of((1, row(1, 2), row(1, 3)), (1, row(1, 3), row(1, 2), row(1, 2)))
    assert batch.rows == [row(1, 2), row(1, 3)]
    assert batch.score_rows == [[0, 1], [1, 0, 0]]
    assert (batch.read_tokens, batch.num_deduplicated) == (4, 3)
    assert batch.scores_by_list([0.5, 0.25]) == [(0.5, 0.25), (0.25, 0.5, 0.5)]


def test_equal_rows_of_different_adapters_are_not_one():
    """Equal tokens under two adapters are two rows."""
    batch = batch_of((1, row(1, 2)), (2, row(1, 2)))
    assert len(batch.rows) == 2
    assert batch.row_adapters == [0, 1]
    assert [float(weights.head.bias) for weights in batch.adapters] == [1, 2]


def test_rows_that_differ_in_types_or_scored_part_are_not_one():
    """Hypotheses share a row only if everything that the score depends on is equal."""
    plain = row(1, 2, 3)
    other_types = type(plain)((1, 2, 3), (0, 1, 1), 1, truncated=False)
    other_start = type(plain)((1, 2, 3), (0, 0, 0), 2, truncated=False)
    assert len(batch_of((1, plain, other_types, other_start)).rows) == 3


def test_a_cut_list_contributes_its_first_rows_only():
    """Hypotheses beyond those that are to be scored are not packed."""
    cut = entry(row(1), row(2), row(3))
    cut.num_hypotheses = 2
    assert Batch.of([cut]).rows == [row(1), row(2)]


rows = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda ids: row(*ids))
adapter_lists = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.lists(rows, min_size=1, max_size=6)), min_size=1, max_size=6
)


@given(adapter_lists, st.integers(1, 20))
def test_each_list_gets_its_own_scores(lists, max_tokens):
    """However lists are mixed, deduplicated or split, each hypothesis has the score of its text and adapter."""
    batch = Batch.of([entry(*of_list, number=number) for number, of_list in lists])
    for (number, of_list), scores in zip(lists, score(StubModel(), batch, max_tokens), strict=True):
        assert scores == tuple(stub_score(each, adapter_weights(number)) for each in of_list)


@pytest.mark.parametrize("most_rows", [1, 2, 3])
def test_a_pass_out_of_memory_is_scored_in_halves(most_rows):
    """A pass that runs out of memory is halved, down to single rows; the scores stay right and each failure counts."""
    model, failures = StubModel(), []
    model.max_rows = most_rows
    rows_of_list = [row(i, i) for i in range(7)]
    [scores] = score(model, Batch.of([entry(*rows_of_list)]), 1000, lambda: failures.append(1))
    assert scores == tuple(stub_score(each, adapter_weights(1)) for each in rows_of_list)
    assert failures


def test_a_single_row_out_of_memory_raises():
    """A single row that runs out of memory is an error."""
    model = StubModel()
    model.max_rows = 0
    with pytest.raises(torch.OutOfMemoryError):
        score(model, Batch.of([entry(row(1))]), 1000)


@pytest.mark.parametrize(("max_tokens", "passes"), [(100, [4]), (6, [2, 2]), (3, [1, 1, 1, 1]), (1, [1, 1, 1, 1])])
def test_more_than_the_budget_takes_several_passes(max_tokens, passes):
    """A list larger than the budget is split between rows; a row larger than the budget is a pass of its own."""
    model = StubModel()
    score(model, Batch.of([entry(*(row(i, i, i) for i in range(4)))]), max_tokens)
    assert model.passes == passes


@given(adapter_lists, st.integers(1, 5))
def test_shares_hold_every_row_once(lists, num_workers):
    """However many workers share a batch, each row is in one share, no share is empty, and the sizes are balanced."""
    batch = Batch(num_workers=num_workers)
    for number, of_list in lists:
        batch.add(entry(*of_list, number=number))
    shares = batch.shares()
    assert sorted(number for share in shares for number in share.row_numbers) == list(range(len(batch.rows)))
    assert batch.num_open == len(shares) == min(num_workers, len(batch.rows))
    sizes = [share.tokens for share in shares]
    assert max(sizes) - min(sizes) <= max(each.num_tokens for each in batch.rows)
    assert all(share.row_adapters == [batch.row_adapters[number] for number in share.row_numbers] for share in shares)
