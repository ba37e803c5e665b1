"""AdamW as it is used here: the schedule's ends, the clip, the average, and gradients of what a loss did not read."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.optimizer import Optimizer, schedule

CONFIG = TrainConfig(learning_rate=0.1, warmup_fraction=0.0, weight_decay=0.0)


def made(config=CONFIG, state=None):
    tensors = {"a": torch.tensor([3.0, 4.0], requires_grad=True), "b": torch.tensor(1.0, requires_grad=True)}
    return tensors, Optimizer(tensors, config, state or TrainingState(tensors={}))


def test_the_schedule_rises_to_its_peak_and_falls_to_nothing():
    """Ten steps, two of warm-up: a straight line to 1, another one to the step after the last."""
    assert [schedule(step, 10, 0.2) for step in range(1, 12)] == pytest.approx(
        [1 / 2, 1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9, 0]
    )


def test_long_gradients_are_clipped_and_their_length_is_told():
    """A gradient of norm 5 moves the values as one of norm 1 in its direction, and 5 is what is reported."""
    for scale in (1.0, 5.0):
        tensors, optimizer = made()
        (tensors["a"] * torch.tensor([0.6, 0.8]) * scale).sum().backward()
        assert optimizer.step(1, 10) == pytest.approx(scale)
        mean, square, _ = optimizer.state_tensors()
        assert mean["a"].tolist() == pytest.approx([0.06, 0.08], rel=1e-4)
        assert square["a"].tolist() == pytest.approx([0.36e-3, 0.64e-3], rel=1e-4)


def test_what_a_loss_did_not_read_has_a_gradient_of_zeros():
    """So that all processes have the same to add up."""
    tensors, optimizer = made()
    tensors["a"].sum().backward()
    assert [gradient.tolist() for gradient in optimizer.gradients] == [[1.0, 1.0], 0.0]


def test_the_average_lags_behind_and_early_ones_forget_the_beginning():
    """After one step its share of the new values is 1 - 2/11, not 1 - 0.99."""
    tensors, optimizer = made(TrainConfig(learning_rate=0.1, warmup_fraction=0.0, ema_decay=0.99))
    before = tensors["a"].detach().clone()
    tensors["a"].sum().backward()
    optimizer.step(1, 10)
    expected = before + (1 - 2 / 11) * (tensors["a"].detach() - before)
    torch.testing.assert_close(optimizer.evaluation_tensors()["a"], expected)


def test_a_gradient_that_is_not_finite_moves_nothing():
    """NaN and infinity are refused by name; the values stay."""
    for value in (float("nan"), float("inf")):
        tensors, optimizer = made()
        (tensors["a"] * value).sum().backward()
        with pytest.raises(InvalidInput, match="gradient of step 1 is not finite"):
            optimizer.step(1, 10)
        assert tensors["a"].tolist() == [3.0, 4.0]
