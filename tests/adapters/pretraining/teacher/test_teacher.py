"""The teacher: pseudo-log-likelihoods by their definition."""

import pytest
import torch
from transformers import AutoModelForMaskedLM

from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.config import PLL, BuildConfig
from lorb_adapters.pretraining.objectives.masked_lm import MaskedLm
from lorb_adapters.pretraining.objectives.masked_lm_head import MaskedLmHead
from lorb_adapters.pretraining.teacher import teacher
from lorb_adapters.pretraining.teacher.teacher import Teacher
from lorb_adapters.text import TextNormalization
from support.adapters.tiny_bases import make_masked_lm

TEXTS = ["the old man and the sea", "", "qqq", "an old man", "the old man and the sea was a man of the old sea"]


@pytest.fixture(params=["bert", "roberta", "electra"])
def folder(request, tmp_path):
    return make_masked_lm(tmp_path, request.param)


def model_of(folder):
    base = load_base(str(folder))
    return MaskedLm(base, BuildConfig(objective=PLL, precision="fp32"), MaskedLmHead.of(base, seed=0))


def encoded(model):
    return [model.base.text_encoder.encode([text], "", TextNormalization(), False)[0] for text in TEXTS]


def naive(folder, rows, model):
    """Log P of every token by transformers, one row and one mask at a time."""
    reference = AutoModelForMaskedLM.from_pretrained(folder).eval()
    values = []
    for row in rows:
        for position in range(1, row.num_tokens - 1):
            ids = torch.tensor([row.token_ids])
            target = int(ids[0, position])
            ids[0, position] = model.mask_id
            with torch.no_grad():
                values.append(reference(input_ids=ids).logits[0, position].log_softmax(-1)[target].item())
    return values


@pytest.mark.parametrize("tokens_per_pass", [5, 60, 4096])
def test_values_are_those_of_one_mask_at_a_time(folder, monkeypatch, tokens_per_pass):
    """In passes of any size each log P equals that of a separate pass to 1e-5; an empty text has none."""
    monkeypatch.setattr(teacher, "_MAX_TOKENS_PER_PASS", tokens_per_pass)
    model = model_of(folder)
    rows = encoded(model)
    values = torch.cat(list(Teacher(model).log_probabilities(rows)))
    assert values.tolist() == pytest.approx(naive(folder, rows, model), abs=1e-5)


def test_it_resumes_after_any_part_to_the_same_bits(folder, monkeypatch):
    """Resumed after each part, it gives the same values as without a stop."""
    monkeypatch.setattr(teacher, "_MAX_TOKENS_PER_PASS", 40)
    model = model_of(folder)
    rows = encoded(model)
    parts = list(Teacher(model).log_probabilities(rows))
    assert len(parts) > 3
    for count in range(len(parts) + 1):
        done = sum(len(part) for part in parts[:count])
        rest = list(Teacher(model).log_probabilities(rows, done))
        assert [part.tolist() for part in rest] == [part.tolist() for part in parts[count:]]
