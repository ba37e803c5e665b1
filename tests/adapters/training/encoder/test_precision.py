"""The dtype of a run's products: what was asked for, or what the processor is quick with."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.training.encoder import precision
from lorb_adapters.training.encoder.forward import product_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_is_bf16_where_there_are_instructions_for_it(monkeypatch, has_bf16):
    """Elsewhere fp32, which can always be asked for."""
    monkeypatch.setattr(precision, "_has_bf16", lambda _: has_bf16)
    assert product_dtype("auto", CPU) == (torch.bfloat16 if has_bf16 else torch.float32)
    assert product_dtype("fp32", CPU) == torch.float32


def test_bf16_without_instructions_for_it_is_refused(monkeypatch):
    """The message names the one that works."""
    monkeypatch.setattr(precision, "_has_bf16", lambda _: False)
    with pytest.raises(InvalidInput, match="use fp32"):
        product_dtype("bf16", CPU)
