"""lorb_server.engine.batch: the lists of a batch, packed so that equal hypotheses are one row."""

from lorb_server.engine.batch import Batch
from support.engine.running_engine import entry
from support.servers.stub_model import row


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
