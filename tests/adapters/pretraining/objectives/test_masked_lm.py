"""Masked-LM training: what is hidden, its loss, and that it learns."""

import random

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.masked_lm import MaskedLm, hide
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


def test_about_the_share_is_hidden_and_special_tokens_never(tiny_bert):
    """Of many draws, 8 in 10 hidden tokens are masks, 1 in 10 stands as it was; each row hides a token at least."""
    model = masked_lm(tiny_bert)
    [row] = encoded(model, "the old man and the sea and the old man")
    drawn = [model.hide_some(row, 0.15, random.Random(seed)) for seed in range(2000)]
    assert all(1 <= position < row.num_tokens - 1 for each in drawn for position in each.positions)
    assert all(each.told == tuple(row.token_ids[i] for i in each.positions) for each in drawn)
    assert min(len(each.positions) for each in drawn) == 1
    written = [each.row.token_ids[i] for each in drawn for i in each.positions]
    told = [token for each in drawn for token in each.told]
    share = len(told) / (2000 * (row.num_tokens - 2))
    assert 0.15 < share < 0.18  # the least of one raises it
    assert written.count(model.mask_id) / len(written) == pytest.approx(0.8, abs=0.03)
    assert sum(a == b for a, b in zip(written, told, strict=True)) / len(told) == pytest.approx(0.1, abs=0.03)
    untouched = {i: t for i, t in enumerate(drawn[0].row.token_ids) if i not in drawn[0].positions}
    assert all(row.token_ids[i] == token for i, token in untouched.items())


def test_an_empty_text_hides_nothing(tiny_bert):
    """There is nothing to tell of it."""
    model = masked_lm(tiny_bert)
    [row] = encoded(model, "")
    assert model.hide_some(row, 0.5, random.Random(0)).positions == ()


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_loss_is_transformers_own(family, tmp_path):
    """Packed, it is the mean cross-entropy over the hidden tokens that a padless pass of each row gives."""
    folder = make_masked_lm(tmp_path, family)
    model, reference = masked_lm(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = [hide(row, [1, 3], [model.mask_id, 9]) for row in encoded(model, "the old man", "the old man and the sea")]
    expected = []
    for each in rows:
        with torch.no_grad():
            logits = reference(input_ids=torch.tensor([each.row.token_ids])).logits[0]
        expected.append(functional.cross_entropy(logits[list(each.positions)], torch.tensor(each.told)))
    assert model.loss(rows).item() == pytest.approx(torch.stack(expected).mean().item(), abs=1e-5)


def test_encoder_and_tied_head_learn_together(tiny_bert):
    """Some steps on one sentence tell its hidden word; the embeddings, which are the decoder too, have moved."""
    model = masked_lm(tiny_bert)
    rows = [hide(row, [2], [model.mask_id]) for row in encoded(model, "the old man")]
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
    assert moved[rows[0].told[0]]


def test_with_frozen_embeddings_the_decoder_stays(tiny_bert):
    """Head and layers are trained alone."""
    model = masked_lm(tiny_bert, BuildConfig(objective=PLL, precision="fp32", freezes_embeddings=True))
    model.loss([hide(row, [2], [model.mask_id]) for row in encoded(model, "the old man")]).backward()
    assert all(tensor.grad is not None for tensor in model.tensors.values())
    assert {name.split(".")[0] for name in model.tensors} == {"encoder", "mlm"}
    assert model.base.encoder.get_parameter("embeddings.word_embeddings.weight").grad is None


def test_a_base_without_a_mask_is_refused(tiny_bert, monkeypatch):
    """The error names the base and the objective that needs none."""
    monkeypatch.setattr(TextEncoder, "token_id", lambda self, token: None)
    with pytest.raises(InvalidInput, match=r"has no token \[MASK\] or <mask>: use objective replaced"):
        masked_lm(tiny_bert)
