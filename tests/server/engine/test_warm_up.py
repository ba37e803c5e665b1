"""The first pass."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_server.config import ServeConfig
from lorb_server.engine.cost_model import CostModel
from lorb_server.engine.device import budget_setting, choose_placement
from lorb_server.engine.warm_up import check_budget, health_check, warm_up
from lorb_server.setting import flag
from support.servers.serving import SimulatedClock


class RecordingModel(RescoringModel):
    """Notes the size of each pass."""

    def score(self, rows, adapters, row_adapters):
        """As the real one."""
        tokens = sum(row.num_tokens for row in rows)
        self.sizes = [*getattr(self, "sizes", []), tokens]
        getattr(self, "on_pass", lambda tokens: None)(tokens)
        return super().score(rows, adapters, row_adapters)


def test_the_largest_pass_is_tried(tiny_bert):
    """What fails for want of memory fails before the server says that it serves."""
    model = RecordingModel(load_base(str(tiny_bert)))
    warm_up(model, 200, CostModel())
    assert model.sizes[0] == 192
    assert max(model.sizes) <= 200


def test_passes_of_usual_rows_teach_what_a_pass_takes(tiny_bert):
    """Each size is run once cold and once for the clock; nothing else is learned from."""
    model, cost, clock = RecordingModel(load_base(str(tiny_bert))), CostModel(), SimulatedClock()
    model.on_pass = lambda tokens: setattr(clock, "now", clock.now + 0.01 + 0.001 * tokens)
    warm_up(model, 1000, cost, clock)
    assert len(model.sizes) == 7
    assert cost.seconds(500) == pytest.approx(0.51)


def test_the_health_check_raises_what_the_model_raises(tiny_bert):
    """A model that scores is left in peace; one that does not is found out."""
    model = RecordingModel(load_base(str(tiny_bert)))
    health_check(model)
    model.on_pass = lambda tokens: 1 // 0
    with pytest.raises(ZeroDivisionError):
        health_check(model)


def test_a_budget_below_the_longest_row_is_refused(tiny_bert):
    """One token less than the longest row is too little, and the error says how much is needed."""
    model = RescoringModel(load_base(str(tiny_bert)))
    check_budget(model, 64)
    with pytest.raises(InvalidInput, match="--max-batch-tokens is 63.*give 64 or more"):
        check_budget(model, 63)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"max_queue_tokens": 63}, "max_queue_tokens"),
        ({"max_batch_tokens": 63, "max_queue_tokens": 63}, "max_batch_tokens"),
        ({"max_batch_tokens": 63}, "max_batch_tokens"),
    ],
)
def test_the_setting_that_makes_the_budget_small_is_named(tiny_bert, given, named):
    """An operator is told to change the flag that was given, not one that follows from it."""
    config = ServeConfig(base=str(tiny_bert), store="s", device="cpu", **given)
    model, placement = RescoringModel(load_base(str(tiny_bert))), choose_placement(config)
    with pytest.raises(InvalidInput, match=f"{flag(named)} is 63") as caught:
        check_budget(model, placement.max_batch_tokens, budget_setting(config, placement))
    assert caught.value.field == named
