"""A base cut to its lowest layers computes what they gave in the whole one, and is a base of its own."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.truncate import lowest_layers
from lorb_adapters.base.writer import write_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization


def last_hidden(base):
    """What the encoder writes for one text, [tokens, hidden]."""
    model = RescoringModel(base)
    rows = base.text_encoder.encode(["the old man"], "", TextNormalization(), False)
    with torch.inference_mode():
        return model.hidden(model.pack(rows), ())


def test_it_computes_what_the_lowest_layers_gave(tiny_bert):
    """The hidden states of one layer kept are those behind the first layer of two."""
    whole = load_base(str(tiny_bert))
    behind_first = []
    first = whole.encoder.get_submodule("encoder.layer.0")
    first.register_forward_hook(lambda _layer, _args, output: behind_first.append(output))
    last_hidden(whole)
    cut = last_hidden(lowest_layers(load_base(str(tiny_bert)), 1))
    assert torch.equal(cut, behind_first[0].reshape(cut.shape))


def test_it_loads_from_where_it_is_written_under_its_own_fingerprint(tiny_bert, tmp_path):
    """As many layers, the fingerprint it had in memory, and another than the whole base's."""
    cut = lowest_layers(load_base(str(tiny_bert)), 1)
    assert cut.fingerprint != load_base(str(tiny_bert)).fingerprint
    write_base(tmp_path / "cut", cut, HeadWeights.zeros("sum", cut.hidden_size))
    loaded = load_base(str(tmp_path / "cut"))
    assert loaded.fingerprint == cut.fingerprint
    assert loaded.encoder.config.num_hidden_layers == 1


def test_all_layers_are_the_same_base(tiny_bert):
    """Keeping every layer changes nothing."""
    assert lowest_layers(load_base(str(tiny_bert)), 2).fingerprint == load_base(str(tiny_bert)).fingerprint


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_number_of_layers_that_it_has_not_is_refused(tiny_bert, number):
    """By the flag's name, with how many there are."""
    with pytest.raises(InvalidInput, match=f"layers is {number}: .* has 2 layers"):
        lowest_layers(load_base(str(tiny_bert)), number)


def test_an_encoder_that_is_no_stack_of_layers_is_refused():
    """Nothing to cut."""
    base = SimpleNamespace(name="odd", encoder=nn.Linear(2, 2))
    base.encoder.config = None
    with pytest.raises(InvalidInput, match="base 'odd' has 0 layers"):
        lowest_layers(base, 1)
