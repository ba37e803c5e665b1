"""Connects the processes of a distributed run, which torchrun or `accelerate launch --multi_gpu` starts."""

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

# The main process may take hours to build a cache or to score large sets while the others wait.
_TIMEOUT = timedelta(days=1)
_FAILURE_KEY = "lorb/failure"


class Processes:
    """Collective operations of a run. Every process calls the same methods in the same order.

    If one process fails, the next call in each other process raises ModelFailed with the reason.

    Attributes:
        rank: number of this process, from 0. Only process 0 writes, reports and publishes.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @classmethod
    def join(cls, device: str = "cpu") -> "Processes":
        """Connects to the other processes named by the launcher's variables (RANK, WORLD_SIZE), if they are set.

        Raises InvalidInput if the connection fails.
        """
        size = os.environ.get("WORLD_SIZE", "1")
        if size == "1":
            return cls()
        if not dist.is_initialized():
            # If AdamW imports this module after the group exists, the module keeps a reference to the group: gloo's
            # threads then survive `close` and may abort the process at exit.
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
    def is_main(self) -> bool:
        """Whether this process writes, reports and publishes."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all processes; the result has the same bits in every process.

        All tensors must have the same dtype.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._collective(lambda: dist.all_reduce(flat))
        for tensor, part in zip(tensors, torch.split(flat, [each.numel() for each in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def gather_rows(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """Returns the rows of all processes, [sum(counts), width], in the order of the processes.

        rows: the rows of this process, [counts[rank], width]. The backward pass gives this process only the gradient of
        its own rows: if all processes compute the same loss from the result, the sum of their gradients is the full
        gradient.
        """
        if self.size == 1:
            return rows
        gathered: Tensor = _GatherRows.apply(rows, list(counts), self)  # type: ignore[no-untyped-call]
        return gathered

    def broadcast(self, content: bytes) -> bytes:
        """Returns the main process's `content` in every process."""
        if self.size == 1:
            return content
        length = torch.tensor([len(content)])
        self._broadcast_tensor(length)
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.is_main and content:
            buffer.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._broadcast_tensor(buffer)
        return buffer.numpy().tobytes()

    def barrier(self) -> None:
        """Waits until every process has called this method."""
        if self.size > 1:
            self.sum([torch.zeros(1, device=_collective_device())])

    def report_failure(self, reason: str) -> None:
        """Stores why this process ends, for the error messages of the other processes."""
        if self.size > 1:
            with suppress(Exception):  # the original error matters more than a lost connection
                _key_value_store().set(_FAILURE_KEY, f"process {self.rank}: {reason}")

    def close(self) -> None:
        """Disconnects from the other processes."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _broadcast_tensor(self, tensor: Tensor) -> None:
        on_device = tensor.to(_collective_device())
        self._collective(lambda: dist.broadcast(on_device, 0))
        tensor.copy_(on_device)

    def _collective(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:  # gloo and nccl have no error type of their own for a lost peer
            raise ModelFailed(
                f"another process of this run has ended ({_stored_failure() or str(error).splitlines()[0]})"
            ) from error


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], processes: Processes) -> Tensor:  # noqa: ANN401
        start = sum(counts[: processes.rank])
        ctx.own_rows = slice(start, start + counts[processes.rank])
        gathered = rows.new_zeros(sum(counts), rows.shape[1])
        gathered[ctx.own_rows] = rows
        processes.sum([gathered])
        return gathered

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return grad[ctx.own_rows], None, None


def _collective_device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _key_value_store() -> Any:  # noqa: ANN401 - torch's own, without a public name
    return dist.distributed_c10d._get_default_store()


def _stored_failure() -> str:
    with suppress(Exception):
        if _key_value_store().check([_FAILURE_KEY]):
            return str(_key_value_store().get(_FAILURE_KEY).decode())
    return ""
