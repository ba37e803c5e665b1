"""The training methods: initial values, trained tensors, scores, and that each of them learns."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.writer import write_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.checkpoint import DevEvaluation
from lorb_adapters.training.config import LEARNING_RATES, METHODS, TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.loop import train
from lorb_adapters.training.methods import make_method
from support.adapters.random_adapters import random_adapter


def config_of(method, **changes):
    return TrainConfig(method=method, precision="fp32", **({"lora": LoraConfig(rank=4, alpha=8)} | changes))


@pytest.fixture
def base(tiny_bert):
    """A base loaded anew for each test, because some methods change it."""
    return load_base(str(tiny_bert))


def zebra_lists(base):
    """Lists whose wrong hypothesis contains "zebra" and leads the first pass."""
    nouns = ["man", "old", "day", "house", "time", "hand", "door", "way"]
    nbests = [
        NBest(
            (Hypothesis(f"the {a} zebra {b}", -1.0), Hypothesis(f"the {a} and {b}", -1.5)), reference=f"the {a} and {b}"
        )
        for a in nouns
        for b in nouns
    ]
    return encode_lists(nbests, base.text_encoder, TextNormalization(), uses_context=False)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_a_rule(base, method):
    """Each method corrects all unseen dev lists by a rule in the train lists."""
    lists = zebra_lists(base)
    rate = {"full": 1e-3, "head": 3e-2, "bitfit": 1e-2, "prefix": 3e-2}.get(method, 1e-2)
    config = config_of(method, epochs=8, lists_per_step=4, learning_rate=rate, patience=0)
    evaluations = []
    trained = train(
        make_method(base, config),
        config,
        lists[::2],
        lists[1::2],
        fit_rank_prior(lists),
        lambda report: evaluations.append(report) if isinstance(report, DevEvaluation) else None,
    )
    assert min(evaluation.wer for evaluation in evaluations) == 0.0
    assert (trained.weights is None) == (method != "lora")


@pytest.mark.parametrize("method", [each for each in METHODS if each not in ("prefix", "lora")])
def test_an_untrained_method_scores_as_the_base(base, method, tiny_bert):
    """With initial tensors and a random head, a method scores as the base with that head."""
    lists = zebra_lists(base)[:3]
    created = make_method(base, config_of(method))
    start = created.snapshot()
    generator = torch.Generator().manual_seed(0)
    start["head.weight"] = torch.randn(32, generator=generator)
    model = RescoringModel(load_base(str(tiny_bert)))
    weights = random_adapter(model.base)
    head = type(weights.head)("sum", start["head.weight"], start["head.bias"])
    plain = type(weights)(weights.config, {}, head)
    for each, scores in zip(lists, created.scores(start, lists), strict=True):
        assert scores == pytest.approx(model.score(each.rows, [plain], [0] * len(each.rows)).tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("head", 33),
        ("lora", 2 * (4 * 4 * 64 + 2 * 4 * 96) + 33),
        ("adapter", 2 * 2 * (2 * 4 * 32 + 4 + 32) + 33),
        ("prefix", 2 * 2 * 4 * 32 + 33),
        ("bitfit", 2 * (5 * 32 + 64 + 2 * 32) + 32 + 33),
    ],
)
def test_trained_parameters_are_counted(base, method, count):
    """Counts for 2 layers of 32 dimensions, 64 in the feed-forward network, and rank 4."""
    assert make_method(base, config_of(method)).num_trained_parameters == count


def test_full_trains_every_parameter(base):
    """Method full counts all encoder parameters and the head."""
    expected = sum(parameter.numel() for parameter in base.encoder.parameters()) + 33
    assert make_method(base, config_of("full")).num_trained_parameters == expected


@pytest.mark.parametrize("method", ["lora", "bitfit", "adapter", "prefix"])
def test_a_method_trains_the_configured_layers_only(base, method):
    """With layer 1, nothing of layer 0 is trained; a layer that does not exist is refused."""
    created = make_method(base, config_of(method, lora=LoraConfig(rank=4, layers=(1,))))
    assert not any("layer.0." in name for name in created.tensors)
    assert any("layer.1." in name for name in created.tensors)
    with pytest.raises(InvalidInput, match="numbered from 0 to 1"):
        make_method(base, config_of(method, lora=LoraConfig(layers=(2,))))


@pytest.mark.parametrize("kind", ["mean", "cls"])
def test_a_bias_without_effect_on_the_loss_stays(base, kind):
    """The bias of mean and cls heads shifts all scores of a list alike: training leaves it at 0."""
    lists = zebra_lists(base)[:8]
    config = config_of("lora", head=kind, max_steps=4, lists_per_step=4, learning_rate=1e-2)
    trained = train(make_method(base, config), config, lists, lists, fit_rank_prior(lists), lambda _: None)
    assert trained.tensors["head.bias"].item() == 0.0
    assert trained.tensors["head.weight"].abs().max() > 0


def test_bitfit_of_upper_layers_freezes_lower_layers(base, tiny_bert):
    """BitFit of layer 1 gives the features and gradients of BitFit of all layers, with no graph below layer 1."""
    lists = zebra_lists(base)[:2]
    rows = sorted((row for each in lists for row in each.rows), key=lambda row: row.num_tokens)
    both = make_method(base, config_of("bitfit", lora=LoraConfig(layers=(0, 1))))
    upper = make_method(load_base(str(tiny_bert)), config_of("bitfit", lora=LoraConfig(layers=(1,))))
    assert set(upper.tensors) == {name for name in both.tensors if "layer.0." not in name}
    assert (both.first_trained_layer, upper.first_trained_layer) == (0, 1)
    assert both.frozen_hidden_states(rows).requires_grad is False
    assert upper.frozen_hidden_states(rows).requires_grad is False
    results = []
    for method in (both, upper):
        features, _ = method.forward(rows, None)
        features.sin().sum().backward()
        results.append((features.detach(), method.tensors["encoder.layer.1.output.dense.bias"].grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_scoring_other_tensors_leaves_the_trained_ones(base, method):
    """Scoring with other values gives other scores, and the method's tensors stay as they were."""
    lists = zebra_lists(base)[:2]
    created = make_method(base, config_of(method))
    before = created.snapshot()
    other = {name: tensor + 0.1 for name, tensor in before.items()}
    assert created.scores(other, lists) != created.scores(before, lists)
    assert all(torch.equal(before[name], tensor) for name, tensor in created.tensors.items())


def test_a_written_base_computes_the_trained_function(base, tmp_path):
    """The base written after full fine-tuning loads, and its own head gives the trained scores."""
    lists = zebra_lists(base)
    config = config_of("full", max_steps=2, lists_per_step=4, learning_rate=1e-3)
    method = make_method(base, config)
    trained = train(method, config, lists[:40], lists[40:44], fit_rank_prior(lists), lambda _: None)
    method.restore(trained.tensors)
    write_base(tmp_path / "mine", base, method.head)
    again = load_base(str(tmp_path / "mine"))
    assert again.fingerprint != base.fingerprint
    assert again.head is not None
    model = RescoringModel(again)
    plain = type(random_adapter(again))(LoraConfig(), {}, again.head)
    for each, scores in zip(lists[40:44], trained.dev_scores, strict=True):
        rows = again.text_encoder.encode(
            [h.transcript for h in each.distinct], "", TextNormalization(), uses_context=False
        )
        assert tuple(rows) == each.rows
        assert model.score(rows, [plain], [0] * len(rows)).tolist() == pytest.approx(scores, rel=1e-4, abs=1e-6)
    with pytest.raises(InvalidInput, match="not empty"):
        write_base(tmp_path / "mine", base, method.head)


def test_every_method_has_a_learning_rate():
    """LEARNING_RATES has a default for each method."""
    assert set(LEARNING_RATES) == set(METHODS)
