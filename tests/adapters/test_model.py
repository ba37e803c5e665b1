"""The rescoring model: a packed batch with any mix of adapters scores as peft does on padded input."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model, set_peft_model_state_dict
from transformers import AutoModel

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights
from lorb_adapters.lora.weights import adapter_state_dict, base_only_weights, initial_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.methods import make_method
from support.adapters.padded_forward import padded_scores
from support.adapters.random_adapters import random_adapter


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_roberta"])
def folder(request):
    return str(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def base(folder):
    return load_base(folder)


@pytest.fixture(scope="module")
def model(base):
    return RescoringModel(base)


@pytest.fixture(scope="module")
def rows(base, sample_dev):
    """Three real lists of different lengths, one of them with an empty hypothesis and a context."""
    rows = []
    for nbest in sample_dev[:3]:
        texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
        rows += base.text_encoder.encode(texts, "", TextNormalization(), uses_context=False)
    rows += base.text_encoder.encode(["", "the man"], "who was it", TextNormalization(), uses_context=True)
    return rows


def peft_scores(folder, adapters, rows, row_adapters):
    """Scores the rows by peft's own mixed batch (`adapter_names`) on padded input, with transformers' attention."""
    reference = AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    pad = reference.config.pad_token_id
    wrapped = None
    for i, adapter in enumerate(adapters):
        config = PeftConfig(
            r=adapter.config.rank,
            lora_alpha=adapter.config.alpha,
            target_modules=list(adapter.config.target_modules),
        )
        if wrapped is None:
            wrapped = get_peft_model(reference, config, adapter_name=f"a{i}")
        else:
            wrapped.add_adapter(f"a{i}", config)
        set_peft_model_state_dict(wrapped, adapter_state_dict(adapter), adapter_name=f"a{i}")
    longest = max(row.num_tokens for row in rows)
    ids = torch.tensor([[*row.token_ids, *[pad] * (longest - row.num_tokens)] for row in rows])
    types = torch.tensor([[*row.type_ids, *[0] * (longest - row.num_tokens)] for row in rows])
    mask = torch.tensor([[1] * row.num_tokens + [0] * (longest - row.num_tokens) for row in rows])
    with torch.no_grad():
        hidden = wrapped.eval()(
            input_ids=ids,
            token_type_ids=types,
            attention_mask=mask,
            adapter_names=[f"a{i}" for i in row_adapters],
        ).last_hidden_state
    scores = []
    for row, states, number in zip(rows, hidden, row_adapters, strict=True):
        head = adapters[number].head
        tokens = states[:1] if head.kind == "cls" else states[row.scored_from : row.num_tokens]
        per_token = tokens @ head.weight + head.bias
        scores.append(per_token.sum() if head.kind == "sum" else per_token.mean())
    return torch.stack(scores)


def test_a_mixed_batch_equals_pefts_mixed_batch(folder, base, model, rows):
    """Rows of five adapters with all kinds of heads and different ranks and targets score as in peft, to 1e-5."""
    adapters = [
        random_adapter(base, 0, "sum"),
        random_adapter(base, 1, "mean"),
        random_adapter(base, 2, "cls"),
        random_adapter(base, 3, "sum", targets=("query", "value")),
        random_adapter(base, 4, "sum", rank=2),
    ]
    row_adapters = [i * 7 % 5 for i in range(len(rows))]
    expected = peft_scores(folder, adapters, rows, row_adapters)
    torch.testing.assert_close(model.score(rows, adapters, row_adapters), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_a_row_scores_the_same_in_any_company(base, model, rows, kind):
    """A row's score does not depend on the order, the neighbours or the other adapters of its batch."""
    adapters = [random_adapter(base, 5, kind), random_adapter(base, 6, kind)]
    together = model.score(rows, adapters, [i % 2 for i in range(len(rows))])
    for i in (0, 7, len(rows) - 1):
        alone = model.score([rows[i]], [adapters[i % 2]], [0])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_scores_are_those_of_transformers_padded_forward(base, model, rows, kind):
    """One adapter's scores equal transformers' own forward with LoRA added to its linear modules, to 1e-5."""
    adapter = random_adapter(base, 7, kind)
    with torch.no_grad():
        _, expected = padded_scores(base, rows, adapter)
    torch.testing.assert_close(model.score(rows, [adapter], [0] * len(rows)), expected, rtol=1e-5, atol=1e-5)


def test_training_and_serving_compute_the_same_scores(base, model, rows):
    """The trainer's forward pass and the server's batch give the same scores for an adapter, to 1e-5."""
    method = make_method(base, TrainConfig(precision="fp32"))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in method.tensors.values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    by_length = sorted(rows, key=lambda row: row.num_tokens)
    _, trained = method.forward(by_length, None)
    served = model.score(by_length, [method.weights(method.snapshot())], [0] * len(rows))
    assert served.std() > 0.1
    torch.testing.assert_close(served, trained.detach(), rtol=1e-5, atol=1e-5)


def test_scoring_and_training_do_not_change_the_base(base, model, rows):
    """After a batch and a training step every weight of the base is bit for bit the same, and none has a gradient."""
    before = {name: tensor.clone() for name, tensor in base.encoder.state_dict().items()}
    model.score(rows, [random_adapter(base, 9)], [0] * len(rows))
    method = make_method(base, TrainConfig(precision="fp32"))
    _, scores = method.forward(sorted(rows, key=lambda row: row.num_tokens), None)
    scores.sum().backward()
    assert method.tensors["head.weight"].grad.any()
    after = base.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in base.encoder.parameters())


def test_two_models_of_one_base_score_alike(base, model, rows):
    """A second model of the same base gives an adapter's scores, not the base's, and leaves the first model's alone."""
    adapter = random_adapter(base, 13)
    before = model.score(rows, [adapter], [0] * len(rows))
    without_lora = model.score(rows, [base_only_weights(adapter.head)], [0] * len(rows))
    assert (before - without_lora).abs().min() > 1e-3
    assert torch.equal(RescoringModel(base).score(rows, [adapter], [0] * len(rows)), before)
    assert torch.equal(model.score(rows, [adapter], [0] * len(rows)), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_threads_score_at_once_with_shared_weights(folder, rows, dtype):
    """Two threads, each with its model of shared weights, score twenty mixed batches as one thread does."""
    base = load_base(folder, dtype=dtype)
    model = RescoringModel(base)
    adapters = [random_adapter(base, seed, rank=2 + seed) for seed in range(6)]
    batches = [(rows[i % 5 :], adapters, [(i + j) % 6 for j in range(len(rows) - i % 5)]) for i in range(20)]
    expected = [RescoringModel(base).score(*batch) for batch in batches]
    start = threading.Barrier(2)

    def score_all(of_thread):
        start.wait()
        return [of_thread.score(*batch) for batch in batches]

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(score_all, (model, model.for_another_thread())))
    for scores in results:
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_model_for_another_thread_has_only_its_buffers_of_its_own(base, rows):
    """It shares base, weights and cached matrices with the first; buffers and their size are its own."""
    model = RescoringModel(base)
    model.launch_graph = lambda rows, adapters, row_adapters: None
    other = model.for_another_thread()
    assert other.launch_graph is None
    adapter = random_adapter(base, 13)
    model.score(rows, [adapter], [0] * len(rows))
    assert model.scratch_bytes > 0
    assert other.scratch_bytes == 0
    other.score(rows, [adapter], [0] * len(rows))
    assert other.scratch_bytes == model.scratch_bytes
    ours, theirs = vars(model.encoder), vars(other.encoder)
    assert {name for name in ours if ours[name] is not theirs[name]} == {"_workspace", "_base"}


def test_launched_batches_are_collected_in_any_order(base, model, rows):
    """A batch launched before another and collected after it has its own scores, in the order of its own rows."""
    adapters = [random_adapter(base, 15), random_adapter(base, 16)]
    row_adapters = [i % 2 for i in range(len(rows))]
    backwards = (rows[::-1], adapters, row_adapters[::-1])
    expected = model.score(rows, adapters, row_adapters), model.score(*backwards)
    first = model.launch(rows, adapters, row_adapters)
    second = model.launch(*backwards)
    assert first.is_ready
    assert torch.equal(second.collect(), expected[1])
    assert torch.equal(first.collect(), expected[0])
    torch.testing.assert_close(expected[1].flip(0), expected[0], rtol=1e-5, atol=1e-5)


def test_a_fresh_adapter_scores_everything_zero(base, model, rows):
    """B and the head start at zero, so a fresh adapter leaves the first-pass order as it is."""
    fresh = initial_weights(
        base.encoder,
        LoraConfig(),
        HeadWeights.zeros("sum", base.hidden_size),
        torch.Generator().manual_seed(0),
    )
    assert model.score(rows, [fresh], [0] * len(rows)).abs().max() == 0


def test_the_bases_own_head_mixes_with_adapters(base, model, rows):
    """The domain `base`, which has no LoRA, scores the same beside an adapter as alone."""
    own = base_only_weights(random_adapter(base, 10).head)
    adapters = [own, random_adapter(base, 11)]
    row_adapters = [i % 2 for i in range(len(rows))]
    mixed = model.score(rows, adapters, row_adapters)
    alone = model.score(rows, [own], [0] * len(rows))
    torch.testing.assert_close(mixed[0::2], alone[0::2], rtol=1e-5, atol=1e-5)


def test_bfloat16_adapters_and_base_keep_fp32_scores(folder, rows):
    """In bfloat16 the scores stay close to fp32's and are returned in fp32: the head is never rounded."""
    exact_base = load_base(folder)
    rounded_base = load_base(folder, dtype=torch.bfloat16)
    adapter = random_adapter(exact_base, 12)
    exact = RescoringModel(exact_base).score(rows, [adapter], [0] * len(rows))
    rounded_adapter = adapter.to("cpu", torch.bfloat16)
    rounded = RescoringModel(rounded_base).score(rows, [rounded_adapter], [0] * len(rows))
    assert rounded.dtype == torch.float32
    assert rounded_adapter.head.weight.dtype == torch.float32
    assert float((exact - rounded).abs().max() / exact.std()) < 0.1
