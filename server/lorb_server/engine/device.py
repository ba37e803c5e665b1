"""Where the model runs and in which numbers."""

import logging
from dataclasses import dataclass

import torch

from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_MAX_BATCH_TOKENS = {"cuda": 8192, "cpu": 1024}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """Device, dtype, the pass' budget, its threads and whether small passes are recorded, decided."""

    device: str
    dtype: torch.dtype
    max_batch_tokens: int
    threads: int
    cuda_graphs: bool = False


def choose_placement(config: ServeConfig) -> Placement:
    """Decides what the settings leave open; raises InvalidInput where this machine cannot do as they ask."""
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("--device is cuda, and torch finds no CUDA device: give cpu or auto", field="device")
    dtype = config.dtype if config.dtype != "auto" else _default_dtype(device)
    if dtype == "bfloat16" and not _computes_bfloat16(device):
        if device == "cuda":
            raise InvalidInput("--dtype is bfloat16, which this GPU does not support: give float32", field="dtype")
        _log.warning("this processor has no bfloat16 instructions: float32 is faster")
    budget = config.max_batch_tokens or min(_MAX_BATCH_TOKENS[device], config.max_queue_tokens)
    threads = config.threads or torch.get_num_threads()
    records = config.cuda_graphs == "auto" and device == "cuda" and dtype != "float32"
    return Placement(device, _DTYPES[dtype], budget, threads, records)


def budget_setting(config: ServeConfig, placement: Placement) -> str:
    """Which setting keeps the pass' budget from being larger."""
    follows_queue = config.max_batch_tokens is None and placement.max_batch_tokens == config.max_queue_tokens
    return "max_queue_tokens" if follows_queue else "max_batch_tokens"


def use_threads(count: int) -> None:
    """Lets the calling thread compute on so many, itself included; others keep their own number.

    Only the model's thread may use more than one. OpenMP counts the helpers of every thread that ever computed, and
    where they are more than the cores libgomp lets them all sleep at each barrier instead of spinning: a pass of one
    list took 1.4 times as long.
    """
    torch.get_num_threads()  # torch sets a thread up at its first use, over whatever was set before
    torch.set_num_threads(count)


def _default_dtype(device: str) -> str:
    """bfloat16 where the device multiplies in it; oneDNN takes it on other processors too, and is slower for it."""
    multiplies = _computes_bfloat16(device) if device == "cuda" else _multiplies_bfloat16()
    return "bfloat16" if multiplies else "float32"


def _multiplies_bfloat16() -> bool:
    """Intel has AMX, AMD since Zen 4 AVX-512's dot product: a list of ten took 19 ms there, and 52 in float32."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _computes_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
