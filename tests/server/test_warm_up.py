"""The first pass."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.base import load_base
from lorb_adapters.model import RescoringModel
from lorb_server.warm_up import check_budget, warm_up


class RecordingModel(RescoringModel):
    """Notes the size of each pass."""

    def score(self, rows, adapters, row_adapters):
        """As the real one."""
        self.sizes = [*getattr(self, "sizes", []), sum(row.num_tokens for row in rows)]
        return super().score(rows, adapters, row_adapters)


def test_the_largest_pass_is_tried(tiny_bert):
    """What fails for want of memory fails before the server says that it serves."""
    model = RecordingModel(load_base(str(tiny_bert)))
    warm_up(model, 200)
    assert model.sizes == [3, 192]


def test_a_budget_below_the_longest_row_is_refused(tiny_bert):
    """One token less than the longest row is too little, and the error says how much is needed."""
    model = RescoringModel(load_base(str(tiny_bert)))
    check_budget(model, 64)
    with pytest.raises(InvalidInput, match="give 64 or more"):
        check_budget(model, 63)
