"""Linear layers in bfloat16 on a CPU, with oneDNN's fused operators that add the bias and a residual.

In every call, torch.addmm copies the bias over the whole output and converts the weight's layout. These two steps take
a third of its time. The operators used here avoid both steps. torch.compile emits them too; torch has them since 2.0.
"""

import torch
from torch import Tensor

# oneDNN compiles a kernel for each new shape, and a compilation takes as long as several products. So batches are
# padded to a few lengths.
_MIN_STEP_TOKENS = 16  # the rows of an AMX tile
_STEPS_PER_OCTAVE = 16  # the number of padded lengths from one power of two to the next


def supports(device: torch.device, dtype: torch.dtype) -> bool:
    """Returns whether oneDNN computes the products on this device in this dtype."""
    return device.type == "cpu" and dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def reorder_weight(weight: Tensor) -> Tensor:
    """Returns a copy of a weight, [outputs, inputs], in oneDNN's own layout."""
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return reordered


def linear(x: Tensor, reordered: Tensor, bias: Tensor) -> Tensor:
    """Returns x W^T + bias, [tokens, outputs]; x: [tokens, inputs], reordered: W in oneDNN's layout."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, reordered, bias, "none", [], "")
    return out


def linear_add(residual: Tensor, x: Tensor, reordered: Tensor, bias: Tensor) -> Tensor:
    """Returns residual + x W^T + bias, [tokens, outputs]; x: [tokens, inputs], reordered: W in oneDNN's layout."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, reordered, bias, "add")
    return out


def padded_length(num_tokens: int) -> int:
    """Returns the number of tokens that a batch of `num_tokens` is padded to.

    The padding is at most 15 tokens or a sixteenth of the batch, whichever is more.
    """
    step = max(_MIN_STEP_TOKENS, (1 << (num_tokens - 1).bit_length()) // (2 * _STEPS_PER_OCTAVE))
    return -(-num_tokens // step) * step
