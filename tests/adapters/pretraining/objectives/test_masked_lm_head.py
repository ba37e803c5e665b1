"""The masked-LM head: read from a checkpoint that has one, and otherwise untrained and tied."""

import pytest
import torch
from transformers import AutoModelForMaskedLM

from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.objectives.masked_lm_head import BIAS, MaskedLmHead, log_frequencies, word_embeddings
from lorb_adapters.text import TextNormalization
from support.adapters.tiny_bases import make_masked_lm


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_a_checkpoints_own_head_gives_its_own_logits(family, tmp_path):
    """The head read from a checkpoint gives transformers' logits, in each family."""
    folder = make_masked_lm(tmp_path, family)
    base, model = load_base(str(folder)), AutoModelForMaskedLM.from_pretrained(folder).eval()
    head = MaskedLmHead.of(base, seed=0)
    assert not head.is_untrained
    [row] = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    with torch.no_grad():
        out = model(input_ids=torch.tensor([row.token_ids]), output_hidden_states=True)
        logits = head.logits(out.hidden_states[-1][0], head.tensors, word_embeddings(base))
    assert torch.allclose(logits, out.logits[0], atol=1e-5)


def test_an_encoder_without_head_gets_an_untrained_one_from_its_seed(tiny_bert):
    """Equal seeds give equal heads, other seeds others; the decoder is the encoder's embeddings."""
    base = load_base(str(tiny_bert))
    heads = [MaskedLmHead.of(base, seed) for seed in (0, 0, 1)]
    assert all(head.is_untrained for head in heads)
    assert heads[0].digest == heads[1].digest != heads[2].digest
    hidden = torch.randn(3, base.hidden_size)
    before = heads[0].logits(hidden, heads[0].tensors, word_embeddings(base))
    with torch.no_grad():
        word_embeddings(base)[7] = 0.0
    after = heads[0].logits(hidden, heads[0].tensors, word_embeddings(base))
    assert (after[:, 7] == 0).all()
    assert (after != before).any(0).nonzero().flatten().tolist() == [7]


def test_an_untied_decoder_is_not_used(tmp_path):
    """A checkpoint whose decoder differs from its embeddings gets an untrained head, because ours is tied."""
    base = load_base(str(make_masked_lm(tmp_path, "bert", is_tied=False)))
    assert MaskedLmHead.of(base, seed=0).is_untrained


def test_a_delta_has_no_masked_lm_head():
    """A base stored as a difference from MiniLM gets an untrained head, because it has no checkpoint."""
    assert MaskedLmHead.of(load_base("rescore-minilm"), seed=0).is_untrained


def test_log_frequencies_follow_the_counts(tiny_bert):
    """The initial bias is log P(token) with add-one smoothing: probabilities sum to 1 and follow the counts."""
    base = load_base(str(tiny_bert))
    rows = base.text_encoder.encode(["the the the old"], "", TextNormalization(), False)
    bias = log_frequencies(rows, len(word_embeddings(base)))
    the, old, man = (base.text_encoder.token_id(word) for word in ("the", "old", "man"))
    assert bias.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert bias[the] > bias[old] > bias[man]
    assert BIAS in MaskedLmHead.of(base, seed=0).tensors
