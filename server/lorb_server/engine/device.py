"""Chooses how the model runs: its device, dtype, token budget and number of threads."""

import logging
from dataclasses import dataclass

import torch

from lorb.errors import InvalidInput
from lorb_adapters.threads import default_threads
from lorb_server.config import ServeConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_MAX_BATCH_TOKENS = {"cuda": 8192, "cpu": 1024}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placement:
    """How the model runs on this machine.

    Attributes:
        device: "cpu" or "cuda".
        dtype: number format of the base's and the adapters' weights.
        max_batch_tokens: the token budget of a batch.
        threads: number of CPU threads that the model computes with, in all workers together.
        cuda_graphs: whether small batches run as CUDA graphs.
    """

    device: str
    dtype: torch.dtype
    max_batch_tokens: int
    threads: int
    cuda_graphs: bool = False


def choose_placement(config: ServeConfig) -> Placement:
    """Chooses a value for each setting that is "auto" or not given.

    Raises InvalidInput if this machine cannot run the model on the device or in the dtype that a setting names.
    """
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InvalidInput("--device is cuda, but torch finds no CUDA device: give cpu or auto", field="device")
    dtype = config.dtype if config.dtype != "auto" else _default_dtype(device)
    if dtype == "bfloat16" and not _computes_bfloat16(device):
        if device == "cuda":
            raise InvalidInput("--dtype is bfloat16, which this GPU does not support: give float32", field="dtype")
        _log.warning("this processor has no bfloat16 instructions: float32 is faster")
    return Placement(
        device,
        _DTYPES[dtype],
        max_batch_tokens=config.max_batch_tokens or min(_MAX_BATCH_TOKENS[device], config.max_queue_tokens),
        threads=config.threads or default_threads(),
        cuda_graphs=config.cuda_graphs == "auto" and device == "cuda" and dtype != "float32",
    )


def budget_setting(config: ServeConfig, placement: Placement) -> str:
    """The name of the setting that limits the token budget of a batch."""
    follows_queue = config.max_batch_tokens is None and placement.max_batch_tokens == config.max_queue_tokens
    return "max_queue_tokens" if follows_queue else "max_batch_tokens"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device or the host ran out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # from torch's CPU allocator


def _default_dtype(device: str) -> str:
    """bfloat16 if the device has instructions for it, else float32. Without such instructions, bfloat16 is slower."""
    multiplies = _computes_bfloat16(device) if device == "cuda" else _multiplies_bfloat16()
    return "bfloat16" if multiplies else "float32"


def _multiplies_bfloat16() -> bool:
    """Whether the CPU has AMX or AVX-512 BF16.

    On such a CPU, a list of ten hypotheses takes 19 ms in bfloat16 and 52 ms in float32.
    """
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _computes_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
