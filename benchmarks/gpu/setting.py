"""Amounts, device and loaded models of the GPU benchmark."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

import torch

from engine import Engine, LoadedModel
from lorb_adapters.cuda_graphs.graph import GraphBucket, capture_graphs, graph_buckets
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.model import RescoringModel, ScoresFuture
from lorb_server.engine.batch import Batch
from models import BERT_BASE, MINILM, TINY, prepared
from workload import TaggedList, Workload


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is measured.

    Attributes:
        models: names of the models whose speed is measured.
        pass_tokens: token counts of large batches.
        buckets: sizes of the CUDA graphs.
        agreement_lists: number of real lists whose scores are compared.
        mixed_adapters: numbers of adapters in a batch.
        repetitions: number of times that a batch is timed.
        latency_lists: number of lists scored one at a time.
        matrix_size: rows and columns of the matrices whose product measures the peak.
        fronts: numbers of front processes; empty for no servers.
        serving_seconds: duration of each load.
        clients, callers: number of client processes, and of callers in each.
    """

    models: tuple[str, ...]
    pass_tokens: tuple[int, ...]
    buckets: tuple[GraphBucket, ...]
    agreement_lists: int
    mixed_adapters: tuple[int, ...]
    repetitions: int
    latency_lists: int
    matrix_size: int
    fronts: tuple[int, ...]
    serving_seconds: float
    clients: int
    callers: int


FULL = Amount(
    models=(BERT_BASE, MINILM), pass_tokens=(8192, 16384), buckets=graph_buckets(2048), agreement_lists=10_000,
    mixed_adapters=(1, 8, 64, 256), repetitions=30, latency_lists=300, matrix_size=8192, fronts=(0, 2, 6),
    serving_seconds=4.0, clients=4, callers=24,
)  # fmt: skip
QUICK = Amount(
    models=(TINY,), pass_tokens=(1024,), buckets=graph_buckets(512)[:2], agreement_lists=12, mixed_adapters=(1, 4),
    repetitions=2, latency_lists=4, matrix_size=256, fronts=(1,), serving_seconds=0.5, clients=1, callers=2,
)  # fmt: skip


class Setting:
    """The device and the models on it, loaded on first use."""

    def __init__(self, device: str, amount: Amount) -> None:
        self.device = device
        self.amount = amount
        self.dtype = torch.bfloat16
        self.loaded = cache(self._load)
        self.graph_runner = cache(self._graph_runner)

    def take(self, start: int, count: int) -> list[TaggedList]:
        """Takes `count` real lists."""
        return Workload().take(start, count)

    def batches(self, name: str, lists: Sequence[TaggedList], max_tokens: int) -> list[Batch]:
        """The batches that an engine with this token budget makes of some lists."""
        return Engine(self.loaded(name), max_tokens).batches(lists)

    def synchronize(self) -> None:
        """Waits for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, function: Callable[[], object], repetitions: int | None = None) -> float:
        """The median seconds of a function and the work it starts on the device, after two warm-up calls."""
        times = []
        for number in range((repetitions or self.amount.repetitions) + 2):
            self.synchronize()
            started = time.perf_counter()
            function()
            self.synchronize()
            if number >= 2:
                times.append(time.perf_counter() - started)
        return median(times)

    def _load(self, name: str) -> LoadedModel:
        return LoadedModel(prepared(name), self.dtype, self.device)

    def _graph_runner(self, name: str) -> CudaGraphRunner:
        return make_graph_runner(self.loaded(name).model, self.amount.buckets)


def make_graph_runner(model: RescoringModel, buckets: Sequence[GraphBucket]) -> CudaGraphRunner:
    """Captures a model's CUDA graphs; on the CPU the runner has their static buffers only."""
    if model.base.device.type == "cuda":
        return CudaGraphRunner(model, buckets, capture_graphs)
    return CudaGraphRunner(model, buckets)


def launch(model: RescoringModel, batch: Batch, graphs: CudaGraphRunner | None = None) -> ScoresFuture:
    """Launches a batch, as a CUDA graph if `graphs` has one that is large enough."""
    pending = graphs.launch(batch.rows, batch.adapters, batch.row_adapters) if graphs is not None else None
    return pending or model.launch(batch.rows, batch.adapters, batch.row_adapters)


def run_all(
    model: RescoringModel, batches: Sequence[Batch], graphs: CudaGraphRunner | None = None
) -> list[list[float]]:
    """The scores of batches. As in the engine, a batch is launched while the previous one runs."""
    scores: list[list[float]] = []
    in_flight = None
    for batch in batches:
        launched = launch(model, batch, graphs)
        if in_flight is not None:
            scores.append(in_flight.collect().tolist())
        in_flight = launched
    if in_flight is not None:
        scores.append(in_flight.collect().tolist())
    return scores
