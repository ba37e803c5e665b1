"""The forward that a CUDA graph captures: the same operations on the same memory for every batch, without waits."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs.graph import GraphBucket
from lorb_adapters.cuda_graphs.inputs import StaticInputs
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.cuda_graphs.slots import AdapterSlots
from lorb_adapters.cuda_graphs.static_forward import StaticForward
from lorb_adapters.encoder import onednn
from lorb_adapters.encoder.attention import VarlenAttention
from lorb_adapters.encoder.memory import Workspace
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import random_adapter

BUCKET = GraphBucket(48, 6, max_row_tokens=20)
# Operations that wait for the device or read host memory: a capture refuses both.
FORBIDDEN = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "unique")


class Recorder(TorchDispatchMode):
    """Records each operation with shapes, strides and dtypes of its tensors, and the addresses of `lasting` ones."""

    def __init__(self, lasting=()):
        super().__init__()
        self.lasting = {tensor.untyped_storage().data_ptr() for tensor in lasting}
        self.operations = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [each for each in tree_leaves((args, kwargs or {})) if isinstance(each, torch.Tensor)]
        signature = [str(function)]
        for tensor in tensors:
            signature.append((tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype))
            if tensor.device.type != "meta" and tensor.untyped_storage().data_ptr() in self.lasting:
                signature.append(tensor.data_ptr())
        self.operations.append(tuple(signature))
        return function(*args, **(kwargs or {}))


def rows_of(*lengths):
    return [EncodedHypothesis(tuple(range(5, 5 + n)), (0,) * n, 0, False) for n in lengths]


def test_every_batch_runs_the_same_operations(tiny_bert, monkeypatch):
    """Operations, shapes and addresses of lasting memory are the same for other rows, adapters, ranks and heads."""
    monkeypatch.setattr(onednn, "supports", lambda device, dtype: False)  # as on CUDA
    model = RescoringModel(load_base(str(tiny_bert)))
    recorders = []

    def recorded(run):
        lasting = [*vars(runner._slots).values(), *vars(runner._inputs[0]).values()]
        with Recorder([each for each in lasting if isinstance(each, torch.Tensor)]) as recorder:
            recorders.append(recorder)
            return run()

    def recording(runs):
        return [lambda run=run: recorded(run) for run in runs]

    runner = CudaGraphRunner(model, [BUCKET], recording)
    adapters = [random_adapter(model.base, i, kind, rank=rank) for i, (kind, rank) in enumerate(
        [("sum", 4), ("cls", 8), ("mean", 9), ("sum", 1)]
    )]  # fmt: skip
    for lengths, row_adapters in (
        ((3,), [0]),
        ((20, 20, 8), [1, 2, 3]),
        ((1,) * 6, [3, 3, 0, 1, 2, 2]),
        ((48 - 30, 9), [2, 0]),
    ):
        runner.launch(rows_of(*lengths), adapters, row_adapters)
    _, first, *others = (recorder.operations for recorder in recorders)  # the first of all allocates the buffers
    assert len(first) > 30
    assert all(operations == first for operations in others)
    names = {operation[0] for operation in first}
    assert not [name for name in names if any(word in name for word in FORBIDDEN)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_shapes_and_dtypes_fit_the_gpu_kernels(tiny_bert, monkeypatch, dtype):
    """On the meta device, the variable-length kernel and all other operations accept shapes, strides and dtypes."""
    base = load_base(str(tiny_bert))
    encoder = PackedEncoder(base.encoder.to("meta", dtype))
    device = torch.device("meta")
    inputs = StaticInputs(BUCKET, 0, device)
    slots = AdapterSlots(encoder.projection_shapes, base.hidden_size, device, dtype)
    dtypes = []

    def attention(self, x):
        dtypes.append(x.dtype)
        return VarlenAttention(
            inputs.offsets, BUCKET.max_row_tokens, encoder.num_heads, x.shape[1] // encoder.num_heads
        )

    monkeypatch.setattr(StaticForward, "_attention", attention)
    with torch.inference_mode(), Recorder() as recorder:
        scores = StaticForward(encoder, inputs, slots, Workspace(device)).run()
    assert (scores.shape, scores.dtype, dtypes) == ((BUCKET.rows,), torch.float32, [dtype])
    assert any("_varlen_attn" in operation[0] for operation in recorder.operations)
