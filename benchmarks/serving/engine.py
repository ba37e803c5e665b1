"""Runs LoRB's engine without its server: gathers whole lists into batches and scores them, as a worker does."""

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_server.call import Call
from lorb_server.engine.batch import Batch
from lorb_server.engine.batch_runner import score
from lorb_server.engine.loader import handle_of
from lorb_server.engine.scheduling.deadline_queue import Entry
from models import NUM_ADAPTERS
from models import Prepared as PreparedModel
from peers.peer import Prepared
from workload import TaggedList, cut, domain_name

LARGE_BATCH_TOKENS = 8192
DOMAINS = range(NUM_ADAPTERS)

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Threads that take tasks one by one. They share out torch's threads equally: with as many workers, one each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)

    def run(self, task: Callable[[int, T], R], items: Sequence[T]) -> list[R]:
        """Returns `task(worker, item)` of each item, in the order of the items; worker: its number."""
        results: dict[int, R] = {}
        waiting, lock = iter(enumerate(items)), threading.Lock()
        all_threads = torch.get_num_threads()

        @torch.inference_mode()
        def work(worker: int) -> None:
            torch.set_num_threads(max(1, all_threads // self.count))
            while True:
                with lock:
                    number, item = next(waiting, (None, None))
                if number is None:
                    return
                results[number] = task(worker, item)

        try:
            list(self._pool.map(work, range(self.count)))
        finally:
            torch.set_num_threads(all_threads)
        return [results[number] for number in range(len(items))]


class Engine:
    """A model with its adapters, workers and batches of at most `max_batch_tokens`."""

    def __init__(
        self, loaded: "LoadedModel", max_batch_tokens: int, *, num_workers: int = 1, as_pairs: bool = False
    ) -> None:
        """as_pairs: tokenise (empty context, hypothesis) within the timed part, as a CrossEncoder does."""
        self._loaded = loaded
        self._workers = Workers(num_workers)
        self._models = [loaded.model, *(loaded.model.for_another_thread() for _ in range(1, num_workers))]
        self._max_batch_tokens = max_batch_tokens
        self._as_pairs = as_pairs

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Tokenises the lists, unless that is timed too."""
        rows = self.encode(lists)
        tokens = sum(row.num_tokens for of_list in rows for row in of_list)
        num_rows = sum(map(len, rows))
        if self._as_pairs:
            return Prepared(lambda: self._score(lists, self.encode(lists)), num_rows, tokens)
        return Prepared(lambda: self._score(lists, rows), num_rows, tokens)

    def encode(self, lists: Sequence[TaggedList]) -> list[list[EncodedHypothesis]]:
        """The encoded hypotheses of each list."""
        encoder = self._loaded.base.text_encoder
        return [encoder.encode(each.texts, "", TextNormalization(), uses_context=self._as_pairs) for each in lists]

    def batches(self, lists: Sequence[TaggedList]) -> list[Batch]:
        """The packed batches of the lists, in the given order."""
        return [Batch.of(entries) for entries in self._entries(lists, self.encode(lists))]

    def _score(self, lists: Sequence[TaggedList], rows: Sequence[Sequence[EncodedHypothesis]]) -> list[float]:
        def score_batch(worker: int, entries: list[Entry]) -> list[tuple[float, ...]]:
            return score(self._models[worker], Batch.of(entries), self._max_batch_tokens)

        of_batches = self._workers.run(score_batch, self._entries(lists, rows))
        return list(itertools.chain.from_iterable(itertools.chain.from_iterable(of_batches)))

    def _entries(self, lists: Sequence[TaggedList], rows: Sequence[Sequence[EncodedHypothesis]]) -> list[list[Entry]]:
        entries = [self._entry(each, of_list) for each, of_list in zip(lists, rows, strict=True)]
        return [entries[run] for run in cut([entry.tokens for entry in entries], self._max_batch_tokens)]

    def _entry(self, tagged: TaggedList, rows: Sequence[EncodedHypothesis]) -> Entry:
        call = Call(adapter=self._loaded.handles[tagged.domain], answer_by=math.inf)
        return Entry(call, rows, len(rows), self._loaded.adapters[tagged.domain])


def filling(rows: Sequence[EncodedHypothesis], num_tokens: int) -> Sequence[EncodedHypothesis]:
    """The first hypotheses that fill a batch of `num_tokens`. Raises ValueError if there are too few."""
    sizes = [row.num_tokens for row in rows]
    if sum(sizes) < num_tokens:
        raise ValueError(f"{len(rows)} rows have {sum(sizes)} tokens, the pass {num_tokens}")
    return rows[next(cut(sizes, num_tokens))]


class MixedPass:
    """A batch of 8192 tokens, its hypotheses spread evenly over some adapters."""

    def __init__(self, loaded: "LoadedModel", num_adapters: int) -> None:
        self._loaded = loaded
        self._num_adapters = num_adapters

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Takes the first hypotheses of the lists, which must fill the batch."""
        by_list = Engine(self._loaded, LARGE_BATCH_TOKENS).encode(lists)
        rows = filling([row for of_list in by_list for row in of_list], LARGE_BATCH_TOKENS)
        row_adapters = [i * self._num_adapters // len(rows) for i in range(len(rows))]
        adapters = self._loaded.adapters[: self._num_adapters]
        return Prepared(
            lambda: self._loaded.model.score(rows, adapters, row_adapters).tolist(),
            len(rows),
            sum(row.num_tokens for row in rows),
        )


class LoadedModel:
    """The base, the model and all adapters in one dtype."""

    def __init__(self, prepared: PreparedModel, dtype: torch.dtype, device: str = "cpu") -> None:
        keep_freed_pages()  # as lorb-serve does; peers have a process of their own
        self.base = load_base(str(prepared.base), device=device, dtype=dtype)
        store = Store(str(prepared.store))
        loaded = [load_adapter(store, name, store.versions(name)[-1], self.base) for name in map(domain_name, DOMAINS)]
        self.adapters = [adapter.weights for adapter in loaded]
        self.handles = [handle_of(adapter) for adapter in loaded]
        self.model = RescoringModel(self.base)
