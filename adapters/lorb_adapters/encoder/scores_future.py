"""Scores of a pass that the device may still be at."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ScoresFuture:
    """A launched pass.

    Attributes:
        scores: [rows] fp32 in plain memory, in the pass's own order; to be read once `done`.
        order: [rows], for each row of the pass its index among the caller's.
        done: what the device sets when `scores` are there; None where they are.
    """

    scores: Tensor
    order: np.ndarray
    done: torch.cuda.Event | None

    @classmethod
    def fetch(cls, scores: Tensor, order: np.ndarray) -> "ScoresFuture":
        """Starts bringing scores, [rows] in the pass's order, from their device."""
        if not scores.is_cuda:
            return cls(scores, order, None)
        there = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
        there.copy_(scores, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        return cls(there, order, done)

    @property
    def is_ready(self) -> bool:
        """Whether `collect` would not wait."""
        return self.done is None or bool(self.done.query())  # type: ignore[no-untyped-call]

    def collect(self) -> Tensor:
        """Waits for the device; rescoring scores, [rows] fp32 on the CPU, in the order of the caller's rows."""
        if self.done is not None:
            self.done.synchronize()
        result = torch.empty(len(self.order), dtype=torch.float32)
        result[torch.from_numpy(self.order)] = self.scores
        return result
