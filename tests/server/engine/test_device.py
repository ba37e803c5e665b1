"""lorb_server.engine.device: device, dtype and threads by machine and settings."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig
from lorb_server.engine.device import choose_placement, is_out_of_memory


@pytest.fixture
def machine(monkeypatch):
    """Makes torch report CUDA, bfloat16, AMX and AVX-512 BF16 as given."""

    def make(*, cuda, bfloat16=True, amx=False, avx512_bf16=False):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)

    return make


def placed(**settings):
    placement = choose_placement(ServeConfig(**settings))
    return placement.device, placement.dtype, placement.max_batch_tokens


def test_defaults_follow_the_machine(machine):
    """The defaults are bfloat16 and 8,192 tokens on CUDA, and 1,024 tokens in the CPU's faster dtype."""
    machine(cuda=True)
    assert placed() == ("cuda", torch.bfloat16, 8192)
    machine(cuda=True, bfloat16=False)
    assert placed() == ("cuda", torch.float32, 8192)
    machine(cuda=False)
    assert placed() == ("cpu", torch.float32, 1024)
    for instructions in ("amx", "avx512_bf16"):
        machine(cuda=False, **{instructions: True})
        assert placed() == ("cpu", torch.bfloat16, 1024)


def test_explicit_settings_are_kept(machine):
    """Explicit settings override the machine's defaults."""
    machine(cuda=True)
    assert placed(device="cpu", dtype="bfloat16", max_batch_tokens=600) == ("cpu", torch.bfloat16, 600)


@pytest.mark.parametrize(
    ("settings", "records"),
    [
        ({}, True), ({"cuda_graphs": "off"}, False), ({"dtype": "float32"}, False), ({"device": "cpu"}, False),
        ({"device": "cpu", "dtype": "bfloat16"}, False),
    ],
)  # fmt: skip
def test_cuda_graphs_are_on_for_bfloat16_on_cuda(machine, settings, records):
    """CUDA graphs are on by default for bfloat16 on CUDA only."""
    machine(cuda=True)
    assert choose_placement(ServeConfig(**settings)).cuda_graphs is records


def test_the_default_budget_keeps_within_the_queue(machine):
    """The default batch budget does not exceed a small queue."""
    machine(cuda=True)
    assert placed(max_queue_tokens=500)[2] == 500


@pytest.mark.parametrize(
    ("field", "settings", "cuda"),
    [("device", {"device": "cuda"}, False), ("dtype", {"device": "cuda", "dtype": "bfloat16"}, True)],
)
def test_settings_that_the_machine_cannot_run_are_refused(machine, field, settings, cuda):
    """A missing GPU, or one without bfloat16, is InvalidInput with the setting's name."""
    machine(cuda=cuda, bfloat16=False)
    with pytest.raises(InvalidInput, match=f"--{field}") as caught:
        choose_placement(ServeConfig(**settings))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(error, expected):
    """Errors of CUDA, of Python and of torch's CPU allocator are recognised."""
    assert is_out_of_memory(error) is expected
