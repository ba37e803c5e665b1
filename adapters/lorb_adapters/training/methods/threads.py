"""Computes the parts of a batch on single threads side by side."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor

from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.threads import prepare_model_thread

Part = TypeVar("Part")
Result = TypeVar("Result")
Rows = Sequence[EncodedHypothesis]
# Computes features, [rows, hidden], and scores, [rows], of the part of a batch with this number.
ForwardPart = Callable[[int, Rows], tuple[Tensor, Tensor]]


class Threads:
    """Threads that each compute a part of a batch with all its products.

    If OpenMP divides each product among threads, all wait for the slowest after every product. Beside another busy
    process on the same cores a step then takes ten times as long. Parts of a batch wait for each other once in each
    pass.

    Attributes:
        count: the number of threads; 1: everything runs in the caller's thread, as it does after the `with` block.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool = (
            ThreadPoolExecutor(count, "training", initializer=partial(prepare_model_thread, 1)) if count > 1 else None
        )

    def map(self, function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """Returns `function(part)` of each part, in the order of the parts."""
        return [function(part) for part in parts] if self._pool is None else list(self._pool.map(function, parts))

    def split(self, rows: Rows) -> list[Rows]:
        """Returns `rows` in at most `count` parts of about equal numbers of tokens.

        The parts keep the order: rows of equal length, which share products in attention, stay together.
        """
        num_tokens = sum(row.num_tokens for row in rows)
        parts: list[list[EncodedHypothesis]] = [[] for _ in range(self.count)]
        before = 0
        for row in rows:
            middle = before + row.num_tokens / 2
            parts[int(self.count * middle / num_tokens)].append(row)
            before += row.num_tokens
        return [part for part in parts if part]

    def forward(self, forward: ForwardPart, rows: Rows, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns features, [rows, hidden], and scores, [rows], differentiable with respect to `tensors`.

        forward: computes one part. The gradients of the parts are added in the order of the parts, so equal inputs give
        equal bits.
        """
        if self.count == 1:
            return forward(0, rows)
        if torch.is_grad_enabled():
            features, scores = _SplitForward.apply(self, forward, rows, *tensors)  # type: ignore[no-untyped-call]
            return features, scores
        compute = torch.inference_mode()(forward)
        by_part = self.map(lambda part: compute(*part), enumerate(self.split(rows)))
        return torch.cat([features for features, _ in by_part]), torch.cat([scores for _, scores in by_part])

    def __enter__(self) -> "Threads":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._pool, self.count = None, 1


class _SplitForward(torch.autograd.Function):
    """Each part has a graph of its own, which the backward pass differentiates on one thread."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch has no public type for it
        threads: Threads,
        forward: ForwardPart,
        rows: Rows,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.threads, ctx.tensors = threads, tensors
        # Gradients are off in this thread, but not in those of the pool
        ctx.parts = threads.map(lambda part: forward(*part), enumerate(threads.split(rows)))
        return torch.cat([features for features, _ in ctx.parts]), torch.cat([scores for _, scores in ctx.parts])

    @staticmethod
    def backward(ctx: Any, features_grad: Tensor, scores_grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        sizes = [len(scores) for _, scores in ctx.parts]
        grads = zip(torch.split(features_grad, sizes), torch.split(scores_grad, sizes), strict=True)

        def differentiate(part: tuple[Sequence[Tensor], Sequence[Tensor]]) -> tuple[Tensor | None, ...]:
            trained = [(out, grad) for out, grad in zip(*part, strict=True) if out.requires_grad]
            outputs, output_grads = [out for out, _ in trained], [grad for _, grad in trained]
            gradients: tuple[Tensor | None, ...]
            gradients = torch.autograd.grad(outputs, ctx.tensors, output_grads, allow_unused=True)
            return gradients

        by_part = ctx.threads.map(differentiate, zip(ctx.parts, grads, strict=True))
        ctx.parts = ()  # the graphs keep activations alive
        return None, None, None, *map(_sum, zip(*by_part, strict=True))


def _sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Returns the sum of the tensors in their order; None if there are none."""
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total if part is None else total + part
    return total
