"""Linear layers on a CPU, with oneDNN's fused operators that add the bias and a residual.

In every call, torch.addmm copies the bias over the whole output. In bfloat16 it also converts the weight's layout, and
in float32 it uses MKL, which is slow on processors of AMD. The operators used here avoid all three. torch.compile emits
them too; torch has them since 2.0.
"""

import torch
from torch import Tensor

# oneDNN compiles a kernel for each new shape, and a compilation takes as long as several products. So batches are
# padded to a few lengths.
_MIN_STEP_TOKENS = 16  # the rows of an AMX tile
_STEPS_PER_OCTAVE = 16  # the number of padded lengths from one power of two to the next


def supports(device: torch.device, dtype: torch.dtype) -> bool:
    """Returns whether oneDNN computes the products on this device in this dtype."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def reorder_weight(weight: Tensor) -> Tensor:
    """Returns a copy of a weight, [outputs, inputs], in oneDNN's own layout."""
    reordered: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return reordered


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Returns x W^T + bias, [tokens, outputs]; x: [tokens, inputs].

    weight: W in oneDNN's layout, or [outputs, inputs], which each call converts.
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
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
