"""In which dtype a run multiplies."""

import torch

from lorb.errors import InvalidInput
from lorb_adapters.training.config import AUTO, BF16, FP32


def product_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of activations and frozen weights; what is trained and the losses stay in fp32.

    "auto" is bfloat16 where the processor has instructions for it. Raises InvalidInput where it is asked for and there
    are none: emulated, it takes eight times as long as fp32.
    """
    supported = _has_bf16(device)
    if precision == BF16 and not supported:
        raise InvalidInput(
            f"precision is {BF16}, and {device.type} here has no instructions for it: use {FP32}", field="precision"
        )
    return torch.bfloat16 if supported and precision in (AUTO, BF16) else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
