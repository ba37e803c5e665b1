"""Captures and replays CUDA graphs, and defines the sizes of the batches that they serve."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_WARM_UPS = 2  # libraries initialise themselves in the first run; during a capture they could not
_MAX_ROW_TOKENS = 128  # the attention kernel takes the same time for any row up to this length
_BUCKET_TOKENS = (2048, 1536, 1024, 768, 512, 384, 256, 128)
_TOKENS_PER_ROW = 8  # a bucket has one row for every 8 tokens

# A Forward computes scores from tensors that never move. A Capture takes forwards, the largest first, and returns
# a graph for each of them.
Forward = Callable[[], Tensor]
Capture = Callable[[list[Forward]], list[Forward]]


@dataclass(frozen=True, slots=True)
class GraphBucket:
    """The size of the batches that one graph serves.

    Attributes:
        tokens: the number of tokens that every replay computes, padding included.
        rows: the largest number of rows.
        max_row_tokens: the largest number of tokens of a row.
    """

    tokens: int
    rows: int
    max_row_tokens: int = _MAX_ROW_TOKENS

    @property
    def padding_rows(self) -> int:
        """The maximum number of rows for padding tokens. These rows too have at most `max_row_tokens` tokens."""
        return -(-self.tokens // self.max_row_tokens)

    def fits(self, tokens: int, rows: int, longest: int) -> bool:
        """Returns whether a batch fits; longest: the number of tokens of the longest row."""
        return tokens <= self.tokens and rows <= self.rows and longest <= self.max_row_tokens


def graph_buckets(max_tokens: int) -> tuple[GraphBucket, ...]:
    """Returns all buckets of at most `max_tokens`, the largest first.

    Padding takes as long as other tokens, so above 256 tokens a bucket is at most 1.5 times the next smaller one.
    Batches above 2048 tokens gain little from graphs: launches are a small share of their time.
    """
    return tuple(
        GraphBucket(tokens, rows=tokens // _TOKENS_PER_ROW) for tokens in _BUCKET_TOKENS if tokens <= max_tokens
    )


class CudaGraph:
    """A captured forward pass: one launch replays it on the same memory. Only the capturing thread may use it."""

    def __init__(self, forward: Forward, pool: Any) -> None:  # noqa: ANN401 - torch's own handle
        """Captures `forward`, which must only launch work on the device.

        pool: a memory pool shared by graphs that are never replayed at the same time.
        """
        warm_up_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        warm_up_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up_stream):
            for _ in range(_WARM_UPS):
                forward()
        torch.cuda.current_stream().wait_stream(warm_up_stream)
        self._forward = forward  # keeps alive the memory that the graph reads and writes
        self._graph = torch.cuda.CUDAGraph()
        # thread_local lets other threads copy adapters to the device during the capture
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._scores = forward()

    def __call__(self) -> Tensor:
        """Replays the graph. The next replay of any graph of the pool overwrites the result."""
        self._graph.replay()
        return self._scores


def capture_graphs(forwards: list[Forward]) -> list[Forward]:
    """Captures each forward as a graph. All graphs share one memory pool.

    forwards: the largest first. If a capture fails, torch's error is raised.
    """
    pool = torch.cuda.graph_pool_handle()
    stream = torch.cuda.current_stream()
    try:
        return [CudaGraph(forward, pool) for forward in forwards]
    finally:
        torch.cuda.set_stream(stream)  # a failed capture leaves its own stream current
