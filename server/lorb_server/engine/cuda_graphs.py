"""Records small batches as CUDA graphs, and disables the graphs if their scores deviate or an error occurs."""

import logging
import time
from collections.abc import Sequence
from functools import partial

import torch

from lorb_adapters.cuda_graphs.check import max_relative_deviation
from lorb_adapters.cuda_graphs.graph import Capture, capture_graphs, graph_buckets
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel, ScoresFuture
from lorb_adapters.text import EncodedHypothesis
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

# A graph's scores may deviate by this fraction from eager scores, those computed without a graph. Rounding in bfloat16
# causes deviations of up to 0.03; a wrong graph causes at least 0.4.
MAX_DEVIATION = 0.1

_log = logging.getLogger(__name__)


class CudaGraphs:
    """Records CUDA graphs of small batches and launches them for a model. After any error, all passes run eagerly.

    Belongs to a worker.
    """

    def __init__(self, model: RescoringModel, metrics: Metrics, capture: Capture = capture_graphs) -> None:
        """`capture` turns each function that runs a batch into a function that replays the batch's graph."""
        self._model = model
        self._metrics = metrics
        self._capture = capture

    def record(self, max_tokens: int) -> None:
        """Records graphs of batches of up to `max_tokens` tokens. Enables them if their scores match eager scores.

        Never raises: a failure is logged and counted in a metric.
        """
        buckets = graph_buckets(max_tokens)
        if not buckets:
            return
        started, free_before = time.monotonic(), _free_bytes(self._model)
        try:
            runner = CudaGraphRunner(self._model, buckets, self._capture)
            deviation = max_relative_deviation(self._model, runner)
        except Exception as error:
            self._give_up("record", error)
        else:
            if deviation > MAX_DEVIATION:
                self._give_up("mismatch", None, deviation=deviation)
                return
            self._model.launch_graph = partial(self._launch, runner)
            self._metrics.cuda_graphs.set(len(runner.buckets))
            fields = {
                "tokens": [bucket.tokens for bucket in reversed(runner.buckets)],
                "bytes": free_before - _free_bytes(self._model),
                "seconds": round(time.monotonic() - started, 3),
                "deviation": round(deviation, 5),
            }
            _log.info("small batches run as CUDA graphs", extra={"fields": fields})

    def _launch(
        self,
        runner: CudaGraphRunner,
        rows: Sequence[EncodedHypothesis],
        adapters: Sequence[AdapterWeights],
        row_adapters: Sequence[int],
    ) -> ScoresFuture | None:
        try:
            return runner.launch(rows, adapters, row_adapters)
        except Exception as error:
            self._give_up("launch", error)
        return None

    def _give_up(self, reason: str, error: Exception | None, **fields: float) -> None:
        message = "CUDA graphs are disabled: all batches run eagerly"
        self._model.launch_graph = None
        self._metrics.cuda_graphs.set(0)
        self._metrics.cuda_graph_failures.labels(reason).inc()
        if error is None:
            _log.error(message, extra={"fields": {"reason": reason, **fields}})
        else:
            log_failure(_log, message, error, reason=reason)


def _free_bytes(model: RescoringModel) -> int:
    """Free memory of the device; 0 on the CPU, where only tests record graphs."""
    return torch.cuda.mem_get_info(model.base.device)[0] if model.base.device.type == "cuda" else 0
