"""What a static pass asks of its device: the same operations on the same memory each time, and no answer."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.adapter_slots import AdapterSlots
from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.cuda_graphs.static_forward import StaticForward
from lorb_adapters.encoder.attention import VarlenAttention
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.workspace import Workspace
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import random_adapter

SHAPE = GraphBucket(48, 6, longest=20)
# What waits for the device or reads plain memory: a capture refuses both.
FORBIDDEN = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "unique")


class Recorder(TorchDispatchMode):
    """Notes every operation with the shapes, dtypes and, of what was there before, addresses of its tensors."""

    def __init__(self, there=()):
        super().__init__()
        self.there = {tensor.untyped_storage().data_ptr() for tensor in there}
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [each for each in tree_leaves((args, kwargs or {})) if isinstance(each, torch.Tensor)]
        signature = [str(function)]
        for tensor in tensors:
            signature.append((tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype))
            if tensor.device.type != "meta" and tensor.untyped_storage().data_ptr() in self.there:
                signature.append(tensor.data_ptr())
        self.operations.append(tuple(signature))
        return function(*args, **(kwargs or {}))


def rows_of(*lengths):
    return [EncodedHypothesis(tuple(range(5, 5 + n)), (0,) * n, 0, False) for n in lengths]


def test_every_pass_is_the_same_to_the_device(tiny_bert):
    """Other rows, adapters, ranks and heads: not an operation, shape or address of lasting memory differs."""
    model = RescoringModel(load_base(str(tiny_bert)))
    recorders = []

    def recorded(run):
        lasting = [*vars(passes._slots).values(), *vars(passes._inputs[0]).values()]
        with Recorder([each for each in lasting if isinstance(each, torch.Tensor)]) as recorder:
            recorders.append(recorder)
            return run()

    def recording(runs):
        return [lambda run=run: recorded(run) for run in runs]

    passes = model.small_passes([SHAPE], recording)
    adapters = [random_adapter(model.base, i, kind, rank=rank) for i, (kind, rank) in enumerate(
        [("sum", 4), ("cls", 8), ("mean", 9), ("sum", 1)]
    )]  # fmt: skip
    for lengths, which in (
        ((3,), [0]),
        ((20, 20, 8), [1, 2, 3]),
        ((1,) * 6, [3, 3, 0, 1, 2, 2]),
        ((48 - 30, 9), [2, 0]),
    ):
        passes.launch(rows_of(*lengths), adapters, which)
    _, first, *others = (recorder.operations for recorder in recorders)  # the very first makes the buffers
    assert len(first) > 30
    assert all(operations == first for operations in others)
    names = {operation[0] for operation in first}
    assert not [name for name in names if any(word in name for word in FORBIDDEN)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_kernels_of_a_gpu_take_what_they_are_given(tiny_bert, monkeypatch, dtype):
    """Without a device: the variable-length kernel and all else agree about shapes, strides and dtypes."""
    base = load_base(str(tiny_bert))
    encoder = PackedEncoder(base.encoder.to("meta", dtype))
    device = torch.device("meta")
    inputs = StaticInputs(SHAPE, 0, device)
    slots = AdapterSlots(encoder.joins, base.hidden_size, device, dtype)
    attended = []

    def attention(self, x):
        attended.append(x.dtype)
        return VarlenAttention(inputs.offsets, SHAPE.longest, encoder.num_heads, x.shape[1] // encoder.num_heads)

    monkeypatch.setattr(StaticForward, "_attention", attention)
    with torch.inference_mode(), Recorder() as recorder:
        scores = StaticForward(encoder, inputs, slots, Workspace(device)).run()
    assert (scores.shape, scores.dtype, attended) == ((SHAPE.rows,), torch.float32, [dtype])
    assert any("_varlen_attn" in operation[0] for operation in recorder.operations)
