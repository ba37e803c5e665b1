"""A base truncated to its lowest layers: it computes what they compute, and has its own fingerprint."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.truncate import truncate_base
from lorb_adapters.base.writer import write_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.text import TextNormalization
from support.adapters.padded_forward import padded_hidden_states


def last_hidden(base):
    """The encoder's last hidden states for one text, [tokens, hidden]."""
    rows = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    with torch.inference_mode():
        return padded_hidden_states(base.encoder, rows)


def test_it_computes_what_the_lowest_layers_compute(tiny_bert):
    """The last hidden states of a base truncated to one layer are those after the whole base's first layer."""
    whole = load_base(str(tiny_bert))
    after_first = []
    first = whole.encoder.get_submodule("encoder.layer.0")
    first.register_forward_hook(lambda _layer, _args, output: after_first.append(output))
    last_hidden(whole)
    truncated = last_hidden(truncate_base(load_base(str(tiny_bert)), 1))
    assert torch.equal(truncated, after_first[0].reshape(truncated.shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_loads_from_where_it_is_written_under_its_own_fingerprint(tiny_bert, tmp_path, dtype):
    """It loads with its number of layers and the fingerprint it had in memory, which is not the whole base's."""
    truncated = truncate_base(load_base(str(tiny_bert), dtype=dtype), 1)
    assert truncated.fingerprint != load_base(str(tiny_bert)).fingerprint
    write_base(tmp_path / "truncated", truncated, HeadWeights.zeros("sum", truncated.hidden_size))
    loaded = load_base(str(tmp_path / "truncated"))
    assert loaded.fingerprint == truncated.fingerprint
    assert loaded.encoder.config.num_hidden_layers == 1


def test_all_layers_are_the_same_base(tiny_bert):
    """Keeping every layer changes nothing."""
    assert truncate_base(load_base(str(tiny_bert)), 2).fingerprint == load_base(str(tiny_bert)).fingerprint


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_wrong_number_of_layers_is_refused(tiny_bert, number):
    """The error names the flag, the value and the number of layers."""
    with pytest.raises(InvalidInput, match=f"layers is {number}: .* has 2 layers"):
        truncate_base(load_base(str(tiny_bert)), number)


def test_an_encoder_without_layers_is_refused():
    """An encoder that has no list of layers counts as one with 0 layers."""
    base = SimpleNamespace(name="odd", encoder=nn.Linear(2, 2))
    base.encoder.config = None
    with pytest.raises(InvalidInput, match="base 'odd' has 0 layers"):
        truncate_base(base, 1)
