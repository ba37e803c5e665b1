"""Linear layers in bfloat16 on a processor, by oneDNN's calls that join the bias and a residual to the product.

torch.addmm copies the bias over the whole output first and lays the weight out anew in every call: a third of a call.
The calls are those that torch's own compiler emits, in torch since 2.0.
"""

import torch
from torch import Tensor

# oneDNN compiles a kernel for each new shape, which takes as long as several products: passes come in few lengths.
_LEAST_STEP = 16  # tokens, the rows of an AMX tile
_STEPS_AN_OCTAVE = 16


def computes(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether products on this device in this dtype are to be oneDNN's."""
    return device.type == "cpu" and dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed_weight(weight: Tensor) -> Tensor:
    """A copy of a weight, [out, in], in oneDNN's own layout."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return packed


def linear(x: Tensor, packed: Tensor, bias: Tensor) -> Tensor:
    """X weight^T + bias, [tokens, out]; x: [tokens, in], bias: [out]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return out


def linear_onto(residual: Tensor, x: Tensor, packed: Tensor, bias: Tensor) -> Tensor:
    """Residual + x weight^T + bias, [tokens, out]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")
    return out


def token_step_up(num_tokens: int) -> int:
    """The next length that many passes share: at most 15 tokens above `num_tokens`, or a sixteenth of it."""
    step = max(_LEAST_STEP, (1 << (num_tokens - 1).bit_length()) // (2 * _STEPS_AN_OCTAVE))
    return -(-num_tokens // step) * step
