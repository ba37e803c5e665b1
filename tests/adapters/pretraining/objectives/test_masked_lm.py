"""Masked-LM training: which tokens are masked, the loss, and learning."""

import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.masked_lm import MaskedLm, mask_tokens
from lorb_adapters.pretraining.objectives.masked_lm_head import MaskedLmHead
from lorb_adapters.text import TextEncoder, TextNormalization
from support.adapters.tiny_bases import make_masked_lm

CONFIG = BuildConfig(objective=PLL, precision="fp32")


def masked_lm(folder, config=CONFIG):
    base = load_base(str(folder))
    return MaskedLm(base, config, MaskedLmHead.of(base, seed=0))


def encoded(model, *texts):
    rows = [model.base.text_encoder.encode([text], "", TextNormalization(), False)[0] for text in texts]
    return sorted(rows, key=lambda row: row.num_tokens)


def test_about_the_share_is_masked_and_special_tokens_never(tiny_bert):
    """Over many draws 80% of the targets are masks and 10% unchanged, and each sentence has at least one target."""
    model = masked_lm(tiny_bert)
    [row] = encoded(model, "the old man and the sea and the old man")
    drawn = [model.mask_random_tokens(row, 0.15, random.Random(seed)) for seed in range(2000)]
    assert all(1 <= position < row.num_tokens - 1 for each in drawn for position in each.positions)
    assert all(each.targets == tuple(row.token_ids[i] for i in each.positions) for each in drawn)
    assert min(len(each.positions) for each in drawn) == 1
    replacements = [each.encoded.token_ids[i] for each in drawn for i in each.positions]
    targets = [token for each in drawn for token in each.targets]
    share = len(targets) / (2000 * (row.num_tokens - 2))
    assert 0.15 < share < 0.18  # the minimum of one token raises it
    assert replacements.count(model.mask_id) / len(replacements) == pytest.approx(0.8, abs=0.03)
    assert sum(a == b for a, b in zip(replacements, targets, strict=True)) / len(targets) == pytest.approx(
        0.1, abs=0.03
    )
    untouched = {i: t for i, t in enumerate(drawn[0].encoded.token_ids) if i not in drawn[0].positions}
    assert all(row.token_ids[i] == token for i, token in untouched.items())


def test_an_empty_text_has_no_targets(tiny_bert):
    """No token of an empty text is masked."""
    model = masked_lm(tiny_bert)
    [row] = encoded(model, "")
    assert model.mask_random_tokens(row, 0.5, random.Random(0)).positions == ()


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_loss_is_transformers_own(family, tmp_path):
    """The packed loss is the mean cross-entropy over the masked tokens, computed by transformers row by row."""
    folder = make_masked_lm(tmp_path, family)
    model, reference = masked_lm(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = [
        mask_tokens(row, [1, 3], [model.mask_id, 9]) for row in encoded(model, "the old man", "the old man and the sea")
    ]
    expected = []
    for each in rows:
        with torch.no_grad():
            logits = reference(input_ids=torch.tensor([each.encoded.token_ids])).logits[0]
        expected.append(functional.cross_entropy(logits[list(each.positions)], torch.tensor(each.targets)))
    assert model.loss(rows).item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


def test_encoder_and_tied_head_learn_together(tiny_bert):
    """After 60 steps on one sentence its masked word is predicted, and the tied embeddings have changed."""
    model = masked_lm(tiny_bert)
    rows = [mask_tokens(row, [2], [model.mask_id]) for row in encoded(model, "the old man")]
    before = model.tensors["embeddings.word_embeddings.weight"].detach().clone()
    optimizer = torch.optim.AdamW(model.tensors.values(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(rows)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 < losses[0]
    moved = (model.tensors["embeddings.word_embeddings.weight"] != before).any(1)
    assert moved[rows[0].targets[0]]


def test_with_frozen_embeddings_the_decoder_is_not_trained(tiny_bert):
    """With frozen embeddings only layers and head get gradients."""
    model = masked_lm(tiny_bert, BuildConfig(objective=PLL, precision="fp32", freezes_embeddings=True))
    model.loss([mask_tokens(row, [2], [model.mask_id]) for row in encoded(model, "the old man")]).backward()
    assert all(tensor.grad is not None for tensor in model.tensors.values())
    assert {name.split(".")[0] for name in model.tensors} == {"encoder", "mlm"}
    assert model.base.encoder.get_parameter("embeddings.word_embeddings.weight").grad is None


def test_a_base_without_a_mask_is_refused(tiny_bert, monkeypatch):
    """The error names the base and suggests the objective that needs no mask token."""
    monkeypatch.setattr(TextEncoder, "token_id", lambda self, token: None)
    with pytest.raises(InvalidInput, match=r"has no token \[MASK\] or <mask>: use objective replaced"):
        masked_lm(tiny_bert)
