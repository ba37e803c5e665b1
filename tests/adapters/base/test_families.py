"""Which models are served as bases: supported families, and unsupported architectures within them."""

import json
import shutil

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    CamembertConfig,
    ElectraConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from lorb.errors import BaseNotFound
from lorb_adapters.base.families import FAMILIES
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from support.adapters.padded_forward import padded_scores
from support.adapters.random_adapters import random_adapter

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
CONFIGS = {
    "bert": (BertConfig, {}),
    "roberta": (RobertaConfig, {"type_vocab_size": 1}),
    "xlm-roberta": (XLMRobertaConfig, {"type_vocab_size": 1}),
    "camembert": (CamembertConfig, {"type_vocab_size": 1}),
    "electra": (ElectraConfig, {"embedding_size": 16}),
}


def make_base(tokenizer_folder, folder, family, **options):
    """Writes a random encoder of a family beside the tokenizer of another base; returns the folder."""
    shutil.copytree(tokenizer_folder, folder)
    config_class, family_options = CONFIGS[family]
    torch.manual_seed(0)
    config = config_class(vocab_size=400, max_position_embeddings=70, pad_token_id=1, **family_options, **SIZES)
    AutoModel.from_config(config).save_pretrained(folder)
    change_config(folder, **options)
    return folder


def change_config(folder, **options):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_transformers_does(family, tiny_bert, tmp_path):
    """A base of each family loads, and an adapter scores on it as on transformers' own padded forward."""
    base = load_base(str(make_base(tiny_bert, tmp_path / family, family)))
    assert base.first_position == (0 if family in ("bert", "electra") else 2)
    rows = base.text_encoder.encode(["the old man", "", "old men and the sea"], "", TextNormalization(), False)
    for kind in HEAD_KINDS:
        adapter = random_adapter(base, 0, kind)
        with torch.no_grad():
            _, expected = padded_scores(base, rows, adapter)
        torch.testing.assert_close(RescoringModel(base).score(rows, [adapter], [0] * 3), expected, rtol=1e-5, atol=1e-5)


def test_other_families_are_refused_by_name(tiny_bert, tmp_path):
    """The error names the model's type and the families that are served."""
    folder = shutil.copytree(tiny_bert, tmp_path / "copy")
    change_config(folder, model_type="gpt2")
    with pytest.raises(BaseNotFound, match="is a gpt2 model: LoRB serves bert, roberta, xlm-roberta, camembert, elec"):
        load_base(str(folder))


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"is_decoder": True}, "is_decoder=True"),
        ({"num_hidden_layers": 0}, "0 layers"),
        ({"position_embedding_type": "relative_key"}, "relative_key position embeddings"),
    ],
)
def test_unsupported_architectures_are_refused(tiny_bert, tmp_path, option, problem):
    """A decoder, an encoder without layers and relative positions are errors that name what is served."""
    folder = make_base(tiny_bert, tmp_path / "odd", "bert", **option)
    with pytest.raises(BaseNotFound, match=f"{problem}.* which LoRB does not serve: it serves bert, .*post-LayerNorm"):
        load_base(str(folder))
