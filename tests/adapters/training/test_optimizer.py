"""The optimiser: schedule, clipping, moving average, and gradients of tensors that a loss does not depend on."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.methods import make_method
from lorb_adapters.training.optimizer import Optimizer, is_decayed, schedule

CONFIG = TrainConfig(learning_rate=0.1, warmup_fraction=0.0, weight_decay=0.0)


def create(config=CONFIG, state=None):
    tensors = {"a": torch.tensor([3.0, 4.0], requires_grad=True), "b": torch.tensor(1.0, requires_grad=True)}
    return tensors, Optimizer(tensors, config, state or TrainingState(tensors={}))


def test_the_schedule_rises_to_its_peak_and_falls_to_zero():
    """Ten steps with two of warm-up: linear to 1, then linear to 0 after the last step."""
    assert [schedule(step, 10, 0.2) for step in range(1, 12)] == pytest.approx(
        [1 / 2, 1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9, 0]
    )


def test_large_gradients_are_clipped_and_their_norm_is_returned():
    """A gradient of norm 5 gives the moments of one of norm 1 in its direction, and 5 is returned."""
    for scale in (1.0, 5.0):
        tensors, optimizer = create()
        (tensors["a"] * torch.tensor([0.6, 0.8]) * scale).sum().backward()
        assert optimizer.step(1, 10) == pytest.approx(scale)
        first, second, _ = optimizer.state_tensors()
        assert first["a"].tolist() == pytest.approx([0.06, 0.08], rel=1e-4)
        assert second["a"].tolist() == pytest.approx([0.36e-3, 0.64e-3], rel=1e-4)


def test_an_unused_tensor_has_a_gradient_of_zeros():
    """A tensor that the loss does not depend on has zeros, so all processes sum gradients of the same shapes."""
    tensors, optimizer = create()
    tensors["a"].sum().backward()
    assert [gradient.tolist() for gradient in optimizer.gradients] == [[1.0, 1.0], 0.0]


def test_the_first_moving_averages_forget_the_initial_values():
    """After one step the new values weigh 1 - 2/11, not 1 - 0.99."""
    tensors, optimizer = create(TrainConfig(learning_rate=0.1, warmup_fraction=0.0, ema_decay=0.99))
    before = tensors["a"].detach().clone()
    tensors["a"].sum().backward()
    optimizer.step(1, 10)
    expected = before + (1 - 2 / 11) * (tensors["a"].detach() - before)
    torch.testing.assert_close(optimizer.evaluation_tensors()["a"], expected)


def test_a_gradient_that_is_not_finite_changes_nothing():
    """NaN and infinity raise an error with the step, and the values stay."""
    for value in (float("nan"), float("inf")):
        tensors, optimizer = create()
        (tensors["a"] * value).sum().backward()
        with pytest.raises(InvalidInput, match="gradient of step 1 is not finite"):
            optimizer.step(1, 10)
        assert tensors["a"].tolist() == [3.0, 4.0]


def test_biases_and_layer_norms_are_not_decayed(tiny_bert):
    """With gradients of 0, decay shrinks every other weight of full fine-tuning and leaves biases and LayerNorms."""
    config = TrainConfig(method="full", learning_rate=0.1, warmup_fraction=0.0, weight_decay=0.5, precision="fp32")
    method = make_method(load_base(str(tiny_bert)), config)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.fill_(1.0)
    optimizer = Optimizer(method.tensors, config, TrainingState(tensors={}))
    assert all(not gradient.any() for gradient in optimizer.gradients)
    optimizer.step(1, 1)
    kept = {name for name, tensor in method.tensors.items() if bool((tensor == 1.0).all())}
    ends = ("bias", "LayerNorm.weight")
    assert kept == {name for name in method.tensors if name.endswith(ends) and not name.startswith("head.")}
    assert {"embeddings.LayerNorm.weight", "encoder.layer.1.output.dense.bias"} <= kept


@pytest.mark.parametrize("method", ["lora", "head", "prefix"])
def test_all_tensors_of_an_adapter_are_decayed(tiny_bert, method):
    """LoRA, prefixes and heads have neither biases of modules nor LayerNorms: their training is as it was."""
    tensors = make_method(load_base(str(tiny_bert)), TrainConfig(method=method, precision="fp32")).tensors
    assert all(is_decayed(name) for name in tensors)


@pytest.mark.parametrize("method", ["bitfit", "adapter"])
def test_biases_of_other_methods_are_not_decayed(tiny_bert, method):
    """BitFit's biases and a bottleneck adapter's are left out; its matrices and the head are decayed."""
    tensors = make_method(load_base(str(tiny_bert)), TrainConfig(method=method, precision="fp32")).tensors
    assert all(is_decayed(name) == (name.startswith("head.") or name.endswith("weight")) for name in tensors)
