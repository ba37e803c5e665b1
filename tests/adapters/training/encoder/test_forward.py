"""The training encoder: scores and gradients equal peft's on transformers' encoder, and the server's scores."""

import pytest
import torch
from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
from transformers import AutoModel

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.packing import pack
from lorb_adapters.lora.config import ATTENTION, FEED_FORWARD, LoraConfig
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights
from lorb_adapters.lora.weights import adapter_state_dict
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.encoder import forward
from lorb_adapters.training.encoder.forward import LayerHooks, TrainingEncoder, product_dtype
from lorb_adapters.training.methods import make_method

CPU = torch.device("cpu")
TARGETS = [("query", "key", "value", "dense"), ("query", "value"), ("value",), ATTENTION, FEED_FORWARD]


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def folder(request):
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def base(folder):
    return load_base(folder)


def rows_of(base, sample_dev, lists=4):
    """The rows of some real lists, sorted by length."""
    rows = []
    for nbest in sample_dev[:lists]:
        texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
        rows += base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    return sorted(rows, key=lambda row: row.num_tokens)


def random_method(base, **changes):
    """A method with random tensors: with LoRA's initial B of zero, A has no gradient."""
    method = make_method(base, TrainConfig(precision="fp32", **changes))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return method


def gradients(tensors, features, scores):
    """The gradients of `tensors` by name, for a loss that depends on all features and scores."""
    (scores.square().sum() + features.sin().sum()).backward()
    copies = {name: tensor.grad.clone() for name, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.grad = None
    return copies


def forward_peft(folder, method, rows):
    """Runs peft's own LoRA on transformers' own encoder, one unpadded row at a time.

    Returns the features, the scores, and the trained parameters under the method's names.
    """
    weights = method.weights(method.snapshot())
    encoder = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    settings = weights.config.to_peft_json(folder)
    excluded = [module for module in settings["exclude_modules"] if module != "pooler.dense"]  # no pooler is loaded
    settings |= {"inference_mode": False, "exclude_modules": excluded or None}
    model = get_peft_model(encoder, PeftConfig.from_peft_type(**settings)).eval()
    set_peft_model_state_dict(model, adapter_state_dict(weights))
    head = HeadWeights(weights.head.kind, *(each.requires_grad_() for each in (weights.head.weight, weights.head.bias)))
    features, scores = [], []
    for row in rows:
        hidden = model(
            input_ids=torch.tensor([row.token_ids]), token_type_ids=torch.tensor([row.type_ids])
        ).last_hidden_state[0]
        scored = hidden[row.scored_from :]
        features.append(scored.mean(0))
        scores.append((scored @ head.weight + head.bias).sum())
    parameters = {
        f"{path}.{matrix}": model.get_parameter(f"base_model.model.{path}.lora_{matrix}.default.weight")
        for path in weights.lora
        for matrix in "AB"
    }
    return torch.stack(features), torch.stack(scores), parameters | {"head.weight": head.weight, "head.bias": head.bias}


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("layers", [None, (1,)])
def test_features_scores_and_gradients_equal_pefts(folder, base, sample_dev, targets, layers):
    """LoRA at any targets and layers agrees with peft on transformers' encoder to rounding, gradients included."""
    method = random_method(base, lora=LoraConfig(rank=3, target_modules=targets, layers=layers))
    rows = rows_of(base, sample_dev)
    features, scores, parameters = forward_peft(folder, method, rows)
    actual = method.forward(rows, None)
    for one, other in zip(actual, (features, scores), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    expected = gradients(parameters, features, scores)
    for name, gradient in gradients(method.tensors, *actual).items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4 * scale + 1e-7, msg=name)


@pytest.mark.parametrize("head", HEAD_KINDS)
def test_training_and_serving_compute_the_same_scores(base, sample_dev, head):
    """The scores of training's forward pass equal those of the server's model, for every kind of head."""
    method = random_method(base, head=head)
    rows = rows_of(base, sample_dev)
    _, scores = method.forward(rows, None)
    served = method.model.score(rows, [method.weights(method.snapshot())], [0] * len(rows))
    torch.testing.assert_close(scores.detach(), served, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "full", "adapter", "prefix"])
def test_padding_changes_nothing(base, sample_dev, monkeypatch, name):
    """Padding to one of oneDNN's lengths changes neither scores nor gradients."""
    method = random_method(base, method=name)
    rows = rows_of(base, sample_dev)
    num_tokens, lengths = sum(row.num_tokens for row in rows), []
    project_of = type(method._hooks(None)).project
    monkeypatch.setattr(onednn, "supports", lambda device, dtype: False)
    expected = method.forward(rows, None)
    monkeypatch.setattr(onednn, "supports", lambda device, dtype: True)
    monkeypatch.setattr(
        type(method._hooks(None)), "project", lambda *args: lengths.append(len(args[3])) or project_of(*args)
    )
    padded = method.forward(rows, None)
    assert set(lengths) == {onednn.padded_length(num_tokens)}
    for one, other in zip(padded, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    wanted = gradients(method.tensors, *expected)
    for part, gradient in gradients(method.tensors, *padded).items():
        scale = wanted[part].abs().max().item()
        torch.testing.assert_close(gradient, wanted[part], rtol=1e-4, atol=1e-4 * scale + 1e-7, msg=part)


def test_layers_can_run_in_parts(base, sample_dev):
    """Layer 0, then layer 1 on its output, give the bits of both layers at once."""
    encoder = TrainingEncoder(base.encoder, torch.float32)
    packed = pack(rows_of(base, sample_dev), first_position=base.first_position)
    with torch.no_grad():
        x = encoder.embed(packed)
        parts = encoder.forward(packed, encoder.forward(packed, x, range(1), LayerHooks()), range(1, 2), LayerHooks())
        assert torch.equal(parts, encoder.forward(packed, x, range(2), LayerHooks()))


def test_layers_below_the_first_trained_one_have_no_gradient(base, sample_dev):
    """With only layer 1 adapted, its input does not require gradients."""
    method = random_method(base, lora=LoraConfig(rank=2, layers=(1,)))
    assert method.first_trained_layer == 1
    assert not method.frozen_hidden_states(rows_of(base, sample_dev)).requires_grad


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_precision_is_bf16_if_the_processor_has_it(monkeypatch, has_bf16):
    """Auto is bf16 with bf16 instructions and fp32 without; fp32 is always fp32."""
    monkeypatch.setattr(forward, "_has_bf16", lambda _: has_bf16)
    assert product_dtype("auto", CPU) == (torch.bfloat16 if has_bf16 else torch.float32)
    assert product_dtype("fp32", CPU) == torch.float32


def test_bf16_without_instructions_is_refused(monkeypatch):
    """The error names fp32 as the alternative."""
    monkeypatch.setattr(forward, "_has_bf16", lambda _: False)
    with pytest.raises(InvalidInput, match="use fp32"):
        product_dtype("bf16", CPU)
