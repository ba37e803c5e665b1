"""The processes of a run: one alone, or several that torchrun or `accelerate launch --multi_gpu` started."""

import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from lorb.errors import InvalidInput, ModelFailed

# The first process may build a cache or look at large sets while the others wait.
_TIMEOUT = timedelta(days=1)
_FAILURE = "lorb/failure"


class Processes:
    """Sums and gathers over all processes of a run. Every process calls the same methods in the same order.

    Where one fails the others' next call raises ModelFailed with its reason.

    Attributes:
        rank: this process, from 0; 0 alone writes, reports and publishes.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls, device: str = "cpu") -> "Processes":
        """The run's processes, as the launcher's environment tells (RANK, WORLD_SIZE); one alone without.

        Raises InvalidInput where they do not find each other.
        """
        size = os.environ.get("WORLD_SIZE", "1")
        if size == "1":
            return cls()
        if not dist.is_initialized():
            # Imported later, as AdamW does, it keeps the group: gloo's threads outlive `leave`, which may abort.
            importlib.import_module("torch._dynamo")
            try:
                dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_TIMEOUT)
            except (ValueError, RuntimeError) as error:
                raise InvalidInput(
                    f"WORLD_SIZE is {size}, and the processes do not find each other ({str(error).splitlines()[0]}): "
                    "start them with torchrun",
                    field="WORLD_SIZE",
                ) from error
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this one writes, reports and publishes."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor with its sum over all processes, the same bits everywhere. All of one dtype."""
        if self.size == 1 or not tensors:
            return
        together = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._collective(lambda: dist.all_reduce(together))
        for tensor, part in zip(tensors, torch.split(together, [each.numel() for each in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Every process' rows in the order of the processes; the gradient is that of this process' own.

        rows: [counts[rank], width]. Where all processes compute the same of what they get, the sum of their gradients
        is the whole one.
        """
        if self.size == 1:
            return rows
        gathered: Tensor = _Gather.apply(rows, list(counts), self)  # type: ignore[no-untyped-call]
        return gathered

    def share(self, content: bytes) -> bytes:
        """What the first process has, in all of them."""
        if self.size == 1:
            return content
        length = torch.tensor([len(content)])
        self._broadcast(length)
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.is_first and content:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._broadcast(buffer)
        return buffer.numpy().tobytes()

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.size > 1:
            self.sum([torch.zeros(1, device=_device())])

    def tell_failure(self, reason: str) -> None:
        """Leaves this process' reason for the others, which will find that it has gone."""
        if self.size > 1:
            with suppress(Exception):  # there is no more to be done here
                _store().set(_FAILURE, f"process {self.rank}: {reason}")

    def leave(self) -> None:
        """Ends the connection."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _broadcast(self, tensor: Tensor) -> None:
        there = tensor.to(_device())
        self._collective(lambda: dist.broadcast(there, 0))
        tensor.copy_(there)

    def _collective(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:  # gloo and nccl have no type of their own for a lost peer
            raise ModelFailed(
                f"another process of this run has ended ({_reason() or str(error).splitlines()[0]})"
            ) from error


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], processes: Processes) -> Tensor:  # noqa: ANN401
        start = sum(counts[: processes.rank])
        ctx.own = slice(start, start + counts[processes.rank])
        gathered = rows.new_zeros(sum(counts), rows.shape[1])
        gathered[ctx.own] = rows
        processes.sum([gathered])
        return gathered

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return grad[ctx.own], None, None


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _store() -> Any:  # noqa: ANN401 - torch's own, without a public name
    return dist.distributed_c10d._get_default_store()


def _reason() -> str:
    with suppress(Exception):
        if _store().check([_FAILURE]):
            return str(_store().get(_FAILURE).decode())
    return ""
