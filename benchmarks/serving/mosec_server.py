"""A mosec server, a general model server with dynamic batching, around the same model.

A request is a list as JSON. The worker scores a batch of them padded, with mixed adapters; for a single list it
activates the adapter, which is faster. As mosec's README recommends, `run.py` tries several values of `max_batch_size`;
`max_wait_time` is mosec's default. Settings come from the environment, because mosec starts the worker process; mosec
reads --address, --port and --timeout itself.
"""

import os
from typing import Any

import torch
from mosec import Server, Worker

from models import DTYPES, prepared
from peers.peft_model import ScoringPeftModel
from workload import NUM_DOMAINS

MODEL, DTYPE, BATCH_LISTS = "BENCHMARK_MODEL", "BENCHMARK_DTYPE", "BENCHMARK_BATCH_LISTS"
MAX_WAIT_MS = 10  # mosec's own default


class Rescorer(Worker):
    """Scores lists; one process, two threads."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(2)
        self._model = ScoringPeftModel(prepared(os.environ[MODEL]), DTYPES[os.environ[DTYPE]], NUM_DOMAINS)

    def forward(self, data: Any) -> Any:
        """data: requests {"texts": [...], "domain": number}; returns {"scores": [...]} for each.

        With batches of one, data is the request itself.
        """
        if isinstance(data, dict):
            return {"scores": self._model.score_list(data["texts"], data["domain"])}
        return self._batch(data)

    def _batch(self, data: list[dict[str, Any]]) -> list[dict[str, list[float]]]:
        texts = [text for request in data for text in request["texts"]]
        domains = [request["domain"] for request in data for _ in request["texts"]]
        scores = iter(self._model.score_texts(texts, domains))
        return [{"scores": [next(scores) for _ in request["texts"]]} for request in data]


if __name__ == "__main__":
    server = Server()
    server.append_worker(Rescorer, max_batch_size=int(os.environ[BATCH_LISTS]), max_wait_time=MAX_WAIT_MS)
    server.run()
