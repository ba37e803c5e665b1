"""The masked-LM head: transformers' own where a checkpoint has one, a fresh tied one elsewhere."""

import pytest
import torch
from transformers import AutoModelForMaskedLM

from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.objectives.masked_lm_head import BIAS, MaskedLmHead, log_frequencies, word_embeddings
from lorb_adapters.text import TextNormalization
from support.adapters.tiny_bases import make_masked_lm


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_a_checkpoints_own_head_gives_its_own_logits(family, tmp_path):
    """Read off a folder that transformers wrote, it computes what transformers computes, in each family."""
    folder = make_masked_lm(tmp_path, family)
    base, model = load_base(str(folder)), AutoModelForMaskedLM.from_pretrained(folder).eval()
    head = MaskedLmHead.of(base, seed=0)
    assert not head.is_fresh
    [row] = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    with torch.no_grad():
        out = model(input_ids=torch.tensor([row.token_ids]), output_hidden_states=True)
        logits = head.logits(out.hidden_states[-1][0], head.tensors, word_embeddings(base))
    assert torch.allclose(logits, out.logits[0], atol=1e-5)


def test_an_encoder_alone_gets_a_fresh_head_of_its_seed(tiny_bert):
    """The same seed gives the same head, another one another; its decoder is the encoder's own embeddings."""
    base = load_base(str(tiny_bert))
    heads = [MaskedLmHead.of(base, seed) for seed in (0, 0, 1)]
    assert all(head.is_fresh for head in heads)
    assert heads[0].digest == heads[1].digest != heads[2].digest
    hidden = torch.randn(3, base.hidden_size)
    before = heads[0].logits(hidden, heads[0].tensors, word_embeddings(base))
    with torch.no_grad():
        word_embeddings(base)[7] = 0.0
    after = heads[0].logits(hidden, heads[0].tensors, word_embeddings(base))
    assert (after[:, 7] == 0).all()
    assert (after != before).any(0).nonzero().flatten().tolist() == [7]


def test_a_decoder_of_its_own_is_not_taken_for_a_tied_one(tmp_path):
    """A checkpoint whose decoder differs from its embeddings gets a fresh head: tied, its own would be another."""
    base = load_base(str(make_masked_lm(tmp_path, "bert", is_tied=False)))
    assert MaskedLmHead.of(base, seed=0).is_fresh


def test_a_delta_has_no_masked_lm_head():
    """The carried base is a difference from MiniLM: there is no checkpoint to read one from."""
    assert MaskedLmHead.of(load_base("rescore-minilm"), seed=0).is_fresh


def test_a_fresh_head_expects_what_is_frequent(tiny_bert):
    """The bias is log P(token) with one more count for each: it adds up to 1, and order follows the counts."""
    base = load_base(str(tiny_bert))
    rows = base.text_encoder.encode(["the the the old"], "", TextNormalization(), False)
    bias = log_frequencies(rows, len(word_embeddings(base)))
    the, old, man = (base.text_encoder.token_id(word) for word in ("the", "old", "man"))
    assert bias.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert bias[the] > bias[old] > bias[man]
    assert BIAS in MaskedLmHead.of(base, seed=0).tensors
