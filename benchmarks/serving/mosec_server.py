"""mosec, a general model server, around the same model, with its dynamic batching.

A request is one list as JSON. The model's worker takes a batch of them and scores it padded, with mixed adapters; one
list alone has its adapter made active, which is faster.
mosec's README: find the best `max_batch_size` for the model, and keep `max_wait_time` below a batch's duration. So
`run.py` tries several sizes, and the wait is mosec's default. The settings come in the environment because the worker
is a process that mosec starts; mosec reads --address, --port and --timeout itself.
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

        With batches of one, mosec gives and takes the request itself.
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
