"""lorb_server.engine.warm_up: first passes, health check and token budget."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_server.config import ServeConfig
from lorb_server.engine.device import budget_setting, choose_placement
from lorb_server.engine.scheduling.cost_model import CostModel
from lorb_server.engine.warm_up import check_budget, health_check, warm_up
from lorb_server.setting import flag
from support.servers.serving import SimulatedClock


class RecordingModel(RescoringModel):
    """Records the tokens of each pass."""

    def score(self, rows, adapters, row_adapters):
        """Scores like RescoringModel."""
        tokens = sum(row.num_tokens for row in rows)
        self.sizes = [*getattr(self, "sizes", []), tokens]
        getattr(self, "on_pass", lambda tokens: None)(tokens)
        return super().score(rows, adapters, row_adapters)


def test_the_largest_pass_is_tried(tiny_bert):
    """Warm-up runs a pass as large as the token budget."""
    model = RecordingModel(load_base(str(tiny_bert)))
    warm_up(model, 200)
    assert model.sizes[0] == 192
    assert max(model.sizes) <= 200


def test_warm_up_measures_passes_for_the_cost_model(tiny_bert):
    """Each size runs twice, and only the second pass is measured."""
    model, cost, clock = RecordingModel(load_base(str(tiny_bert))), CostModel(), SimulatedClock()
    model.on_pass = lambda tokens: setattr(clock, "now", clock.now + 0.01 + 0.001 * tokens)
    for tokens, seconds in warm_up(model, 1000, clock):
        cost.observe(tokens, seconds)
    assert len(model.sizes) == 7
    assert cost.seconds(500) == pytest.approx(0.51)


def test_the_health_check_raises_what_the_model_raises(tiny_bert):
    """The health check passes on a working model and raises what a broken one raises."""
    model = RecordingModel(load_base(str(tiny_bert)))
    health_check(model)
    model.on_pass = lambda tokens: 1 // 0
    with pytest.raises(ZeroDivisionError):
        health_check(model)


def test_a_budget_below_the_longest_hypothesis_is_refused(tiny_bert):
    """A budget one token below the longest hypothesis is refused, and the error gives the minimum."""
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
def test_the_error_names_the_setting_that_limits_the_budget(tiny_bert, given, named):
    """The error names the flag that limits the budget."""
    config = ServeConfig(base=str(tiny_bert), store="s", device="cpu", **given)
    model, placement = RescoringModel(load_base(str(tiny_bert))), choose_placement(config)
    with pytest.raises(InvalidInput, match=f"{flag(named)} is 63") as caught:
        check_budget(model, placement.max_batch_tokens, budget_setting(config, placement))
    assert caught.value.field == named
