"""What a pass is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.scoring import Job, gather, score
from serving import TellingModel, row, served_adapter, telling_score

A, B = served_adapter(1), served_adapter(2)


def job(adapter, *rows):
    return Job(rows, adapter, answer_by=0.0)


def test_equal_rows_of_one_adapter_are_scored_once():
    """The same tokens in two lists are one row, and both lists get its score."""
    work = gather([job(A, row(1, 2), row(1, 3)), job(A, row(1, 3), row(1, 2), row(1, 2))])
    assert work.rows == [row(1, 2), row(1, 3)]
    assert work.places == [[0, 1], [1, 0, 0]]
    assert (work.num_tokens, work.num_deduplicated) == (4, 3)


def test_equal_rows_of_different_adapters_are_not_one():
    """Another adapter, another score."""
    work = gather([job(A, row(1, 2)), job(B, row(1, 2))])
    assert len(work.rows) == 2
    assert work.row_adapters == [0, 1]
    assert work.adapters == [A.weights, B.weights]


def test_rows_that_differ_in_types_or_scored_part_are_not_one():
    """All that the score depends on tells rows apart."""
    plain = row(1, 2, 3)
    other_types = type(plain)((1, 2, 3), (0, 1, 1), 1, truncated=False)
    other_start = type(plain)((1, 2, 3), (0, 0, 0), 2, truncated=False)
    assert len(gather([job(A, plain, other_types, other_start)]).rows) == 3


rows = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda ids: row(*ids))
jobs = st.lists(st.tuples(st.sampled_from([A, B]), st.lists(rows, min_size=1, max_size=6)), min_size=1, max_size=6)


@given(jobs, st.integers(1, 20))
def test_each_list_gets_its_own_scores(lists, max_tokens):
    """Whatever is mixed, deduplicated or split over passes, every row has the score of its text and adapter."""
    made = [job(adapter, *of_list) for adapter, of_list in lists]
    scores = score(TellingModel(), gather(made), max_tokens)
    for one, of_list in zip(made, scores, strict=True):
        assert of_list == tuple(telling_score(each, one.adapter.weights) for each in one.rows)


@pytest.mark.parametrize(("max_tokens", "passes"), [(100, [4]), (6, [2, 2]), (3, [1, 1, 1, 1]), (1, [1, 1, 1, 1])])
def test_more_than_the_budget_takes_several_passes(max_tokens, passes):
    """A list larger than the budget is cut between rows; a row larger than it goes alone."""
    model = TellingModel()
    score(model, gather([job(A, *(row(i, i, i) for i in range(4)))]), max_tokens)
    assert model.passes == passes
