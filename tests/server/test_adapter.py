"""What serves the reserved domain."""

from dataclasses import replace

import torch

from lorb.names import is_version
from lorb_adapters.lora.head import HeadWeights
from lorb_server.adapter import served_base


def test_a_base_without_a_head_serves_nothing_itself(publishing_base):
    """Never silently zeros."""
    assert served_base(publishing_base) is None


def test_a_base_with_a_head_serves_it(publishing_base):
    """Under a version and digest that follow the head's weights."""
    heads = [HeadWeights("sum", torch.full((32,), value), torch.zeros(())) for value in (0.1, 0.2)]
    (first, weights), (second, _) = (served_base(replace(publishing_base, head=head)) for head in heads)
    assert first.ref.domain == "base"
    assert is_version(first.ref.version)
    assert first.ref.version.endswith(first.ref.digest[:12])
    assert first.ref.digest != second.ref.digest
    assert weights.lora == {}
    assert first.size_bytes == weights.size_bytes
