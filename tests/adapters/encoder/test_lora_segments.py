"""LoRA segment by segment: every token gets the formula's result."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.encoder.lora_segments import LoraMatricesCache, SegmentLora
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.projections import PROJECTION_MODULES, Projection, module_paths
from support.adapters.random_adapters import SHAPES, unlike_adapters


@pytest.mark.parametrize("projection", Projection)
def test_each_token_gets_its_adapters_product(tiny_bert, projection):
    """Scaling * B A x is added to each adapted module's outputs, and other outputs stay as they are."""
    adapters = unlike_adapters(load_base(str(tiny_bert)))
    bounds = [(1, 4), (4, 5), (7, 9), (9, 12)]
    segments = [(start, end, weights) for (start, end), weights in zip(bounds, adapters, strict=True)]
    inputs, size = SHAPES[projection]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(13, inputs, generator=generator)
    out = torch.randn(13, size * len(PROJECTION_MODULES[projection]), generator=generator)
    expected = out.clone()
    for start, end, weights in segments:
        for module, path in enumerate(module_paths(1, projection)):
            if path in weights.lora:
                a, b = weights.lora[path]
                product = weights.config.scaling * x[start:end] @ a.T @ b.T
                expected[start:end, module * size : (module + 1) * size] += product
    lora = SegmentLora(segments, LoraMatricesCache(2, torch.float32), Workspace(torch.device("cpu")))
    lora.add(1, projection, x, out)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
