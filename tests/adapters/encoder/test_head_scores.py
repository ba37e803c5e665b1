"""Score heads on packed rows: what each kind reads, and how its bias counts."""

import pytest
import torch

from lorb_adapters.encoder.head_scores import mixed_head_scores, pool, pooled_scores
from lorb_adapters.encoder.packing import pack
from lorb_adapters.lora.head import CLS, MEAN, SUM, HeadWeights
from lorb_adapters.text import EncodedHypothesis

ROWS = pack([EncodedHypothesis((1, 2, 3), (0,) * 3, 1, False), EncodedHypothesis((4, 5), (0,) * 2, 1, False)])
HIDDEN = torch.tensor([[1.0, 0.0], [2.0, 1.0], [4.0, 3.0], [10.0, 0.0], [7.0, 5.0]])
WEIGHT = torch.tensor([1.0, 10.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SUM, [(2 + 10) + (4 + 30) + 2 * 0.5, (7 + 50) + 0.5]),
        (MEAN, [(2 + 10 + 4 + 30) / 2 + 0.5, 57.5]),
        (CLS, [1.5, 10.5]),
    ],
)
def test_each_kind_scores_by_its_definition(kind, expected):
    """Sum adds a score for each scored token, bias included; mean averages them; cls reads the first token."""
    head = HeadWeights(kind, WEIGHT, torch.tensor(0.5))
    assert pooled_scores(pool(HIDDEN, ROWS, kind), ROWS, head).tolist() == pytest.approx(expected)


def test_mixed_heads_score_each_row_with_its_own():
    """Rows whose heads differ in kind score in one batch as they do with one head alone."""
    heads = [HeadWeights(kind, WEIGHT * (i + 1), torch.tensor(0.5)) for i, kind in enumerate((SUM, CLS, MEAN))]
    for first in range(3):
        for second in range(3):
            mixed = mixed_head_scores(HIDDEN, ROWS, heads, torch.tensor([first, second]))
            alone = [
                pooled_scores(pool(HIDDEN, ROWS, heads[number].kind), ROWS, heads[number])[row]
                for row, number in enumerate((first, second))
            ]
            torch.testing.assert_close(mixed, torch.stack(alone))
