"""A process of offline systems: reads an order from each line of stdin, as JSON, and answers on stdout.

{"run": "engine", "start": 0, "count": 48}   ->  {"seconds": ..., "hypotheses": ..., "tokens": ...}
{"scores": "engine", "start": 0, "count": 2, "domain": 0} ->  {"scores": [...]}
{"tune": "peft_padded", "start": 0, "count": 16} -> {"batch_size": ..., "seconds": {...}}
{"folder": true}                             ->  {"folder": where the base and the store are}
{"auto": true}                               ->  {"dtype": of --dtype auto on this CPU}
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from engine import LARGE_BATCH_TOKENS, Engine, LoadedModel, MixedPass
from floor import Floor
from lorb_server.config import ServeConfig
from lorb_server.engine.device import choose_placement
from models import DTYPES, MODELS, NUM_ADAPTERS, prepared
from peers.peer import Peer
from workload import NUM_DOMAINS, TaggedList, Workload

THREADS = 2


class Offline:
    """The systems of one model in one dtype, loaded on first use."""

    def __init__(self, model: str, dtype: str) -> None:
        self._prepared = prepared(model)
        self._dtype = DTYPES[dtype]
        self._placement = choose_placement(ServeConfig(device="cpu", dtype=dtype))
        self._auto = choose_placement(ServeConfig(device="cpu")).dtype
        self._workload = Workload()
        self._peer = cache(self._load)
        self._loaded = cache(lambda of_dtype: LoadedModel(self._prepared, of_dtype))
        self._peft = cache(self._load_peft)

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """Times a system on some lists."""
        work = self._peer(order["run"]).prepare(self._lists(order))
        started = time.perf_counter()
        with torch.inference_mode():
            work.run()
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "hypotheses": work.num_hypotheses, "tokens": work.num_tokens}

    def tune(self, order: dict[str, Any]) -> dict[str, Any]:
        """Chooses the batch size of a padded peer."""
        peer: Any = self._peer(order["tune"])
        seconds = peer.tune(self._lists(order))
        return {"batch_size": peer.batch_size, "seconds": seconds}

    def scores(self, order: dict[str, Any]) -> dict[str, Any]:
        """The scores of a system for some lists; for one domain if the order names it."""
        lists = self._lists(order)
        if "domain" in order:
            lists = [replace(each, domain=order["domain"]) for each in lists]
        with torch.inference_mode():
            return {"scores": list(self._peer(order["scores"]).prepare(lists).run())}

    def folder(self, order: dict[str, Any]) -> dict[str, Any]:
        """The folder of base and store."""
        return {"folder": str(self._prepared.base.parent)}

    def auto(self, order: dict[str, Any]) -> dict[str, Any]:
        """The dtype of `--dtype auto`."""
        return {"dtype": str(self._auto).removeprefix("torch.")}

    def _lists(self, order: dict[str, Any]) -> list[TaggedList]:
        return self._workload.take(order["start"], order["count"])

    def _load(self, name: str) -> Peer:
        factories: dict[str, Callable[[], Peer]] = {
            "floor": lambda: self._floor(self._placement.max_batch_tokens),
            "floor_8192": lambda: self._floor(LARGE_BATCH_TOKENS),
            "engine": lambda: self._engine(self._placement.max_batch_tokens),
            "engine_8192": lambda: Engine(self._loaded(self._dtype), LARGE_BATCH_TOKENS),
            "engine_pairs": lambda: self._engine(self._placement.max_batch_tokens, as_pairs=True),
            "engine_pairs_auto": lambda: self._engine(self._placement.max_batch_tokens, self._auto, as_pairs=True),
            "mix_1": lambda: MixedPass(self._loaded(self._dtype), 1),
            "mix_32": lambda: MixedPass(self._loaded(self._dtype), NUM_ADAPTERS),
            "peft_padded": lambda: self._padded(sort_by_length=False),
            "peft_sorted": lambda: self._padded(sort_by_length=True),
            "cross_encoder": self._cross_encoder,
        }
        return factories[name]()

    def _engine(self, max_tokens: int, dtype: torch.dtype | None = None, *, as_pairs: bool = False) -> Engine:
        return Engine(self._loaded(dtype or self._dtype), max_tokens, num_workers=THREADS, as_pairs=as_pairs)

    def _floor(self, max_tokens: int) -> Floor:
        return Floor(self._prepared, self._engine(max_tokens), self._dtype)

    def _padded(self, *, sort_by_length: bool) -> Peer:
        from peers.peft_padded import PeftPadded

        return PeftPadded(self._peft(), self._loaded(self._dtype).base.text_encoder, sort_by_length=sort_by_length)

    def _load_peft(self) -> Any:
        from peers.peft_model import ScoringPeftModel

        return ScoringPeftModel(self._prepared, self._dtype, NUM_DOMAINS)

    def _cross_encoder(self) -> Peer:
        from peers.cross_encoder import MergedCrossEncoder

        return MergedCrossEncoder(self._prepared, self._dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # libraries print too
        offline = Offline(arguments.model, arguments.dtype)
        for line in sys.stdin:
            order = json.loads(line)
            answer = getattr(offline, next(iter(order)))(order)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
