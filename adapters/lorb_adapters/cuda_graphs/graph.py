"""A pass as a CUDA graph: one launch instead of hundreds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 2  # libraries set themselves up in the first run, which a capture does not allow


class CudaGraph:
    """What `run` did when it was captured, on the same memory. Belongs to the thread that captures it."""

    def __init__(self, run: Callable[[], Tensor], pool: Any) -> None:  # noqa: ANN401 - torch's own handle
        """`run` is only to launch work on the device; pool: memory shared with passes never under way at once."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(side)
        self._run = run  # holds the memory that the graph reads and writes
        self._graph = torch.cuda.CUDAGraph()
        # thread_local: adapters may come to the device on other threads meanwhile
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._scores = run()

    def __call__(self) -> Tensor:
        """Launches it; its result is overwritten by the next launch, of another pass of the pool too."""
        self._graph.replay()
        return self._scores


def captured(runs: list[Callable[[], Tensor]]) -> list[Callable[[], Tensor]]:
    """Captures passes, the largest first, whose memory the others share; raises what a run or torch raises."""
    pool = torch.cuda.graph_pool_handle()
    stream = torch.cuda.current_stream()
    try:
        return [CudaGraph(run, pool) for run in runs]
    finally:
        torch.cuda.set_stream(stream)  # a capture that fails leaves its own
