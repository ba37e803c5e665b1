"""Runs batches on the model: halves a pass that runs out of memory, and isolates a list on which the model raises."""

import logging
from collections.abc import Callable, Iterator, Sequence

import torch

from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from lorb_server.engine.batch import Batch
from lorb_server.engine.device import is_out_of_memory
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

MINIMUM_BATCH_TOKENS = 128  # the token budget never falls below this

ListOutcome = tuple[float, ...] | Exception  # a list's scores, or the error that the model raised on this list alone

_log = logging.getLogger(__name__)


class BatchRunner:
    """Scores lists together. If the model raises on one list, only this list fails. Belongs to the model thread.

    Attributes:
        max_tokens: the most tokens that one pass may read; halved when the device runs out of memory.
    """

    def __init__(self, model: RescoringModel, metrics: Metrics, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._model = model
        self._metrics = metrics

    def launch(self, batch: Batch) -> None:
        """Packs a batch and starts its pass.

        If the batch is too large for one pass, or if starting the pass raises, `collect` runs the batch instead.
        """
        batch.pack()
        if batch.rows and batch.read_tokens <= self.max_tokens:
            try:
                batch.scores = self._model.launch(batch.rows, batch.adapters, batch.row_adapters)
            except Exception as error:
                self._note_failure(error, len(batch.entries))

    def collect(self, batch: Batch) -> list[ListOutcome]:
        """Returns for each list its scores (natural log scale, higher is better) or its error.

        A failed batch runs again in halves.
        """
        if batch.scores is None:
            return self._run(batch)
        try:
            row_scores: list[float] = batch.scores.collect().tolist()
        except Exception as error:
            self._note_failure(error, len(batch.entries))
            return self._run(batch)
        self._observe(batch)
        return [*batch.scores_by_list(row_scores)]

    def _run(self, batch: Batch) -> list[ListOutcome]:
        if not batch.entries:
            return []
        try:
            scores = score(self._model, batch, self.max_tokens, self._shrink)
        except Exception as error:
            self._note_failure(error, len(batch.entries))
            if len(batch.entries) == 1:
                return [error]
        else:
            self._observe(batch)
            return [*scores]
        return [outcome for half in _halves(batch.entries) for outcome in self._run(Batch.of(half))]

    def _observe(self, batch: Batch) -> None:
        if batch.is_verification:
            return
        self._metrics.observe_batch(
            tokens=batch.read_tokens,
            lists=len(batch.score_rows),
            adapters=len(batch.adapters),
            deduplicated=batch.num_deduplicated,
        )

    def _note_failure(self, error: Exception, lists: int) -> None:
        log_failure(_log, "a pass of the model failed", error, lists=lists)
        self._metrics.failed_passes.inc()

    def _shrink(self) -> None:
        """Halves the token budget: a pass of the same size would run out of memory again."""
        self.max_tokens = max(MINIMUM_BATCH_TOKENS, self.max_tokens // 2)
        self._metrics.out_of_memory.inc()
        _log.warning("out of memory: batches become smaller", extra={"fields": {"tokens": self.max_tokens}})


def score(
    model: RescoringModel, batch: Batch, max_tokens: int, on_out_of_memory: Callable[[], None] = lambda: None
) -> list[tuple[float, ...]]:
    """Each list's scores in the order of its hypotheses; natural log scale, higher is better.

    Runs one pass, or several passes of at most `max_tokens` if the batch exceeds `max_tokens`. When a pass runs out of
    memory, calls `on_out_of_memory` and runs the pass again in halves. Raises what the model raises.
    """
    row_scores: list[float] = []
    for part in _parts(batch.rows, max_tokens):
        row_scores += _score_part(model, batch, part, on_out_of_memory)
    return batch.scores_by_list(row_scores)


def _score_part(model: RescoringModel, batch: Batch, part: slice, on_out_of_memory: Callable[[], None]) -> list[float]:
    try:
        scores: list[float] = model.score(batch.rows[part], batch.adapters, batch.row_adapters[part]).tolist()
    except Exception as error:
        if part.stop - part.start == 1 or not is_out_of_memory(error):
            raise
    else:
        return scores
    # after the except clause: inside the clause, the error's traceback holds the tensors that fill the memory
    on_out_of_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (part.start + part.stop) // 2
    halves = (slice(part.start, middle), slice(middle, part.stop))
    return [score for half in halves for score in _score_part(model, batch, half, on_out_of_memory)]


def _parts(rows: Sequence[EncodedHypothesis], max_tokens: int) -> Iterator[slice]:
    """Slices of `rows` with at most `max_tokens` tokens each; a row with more tokens is a slice of its own."""
    start = tokens = 0
    for i, row in enumerate(rows):
        if i > start and tokens + row.num_tokens > max_tokens:
            yield slice(start, i)
            start, tokens = i, 0
        tokens += row.num_tokens
    yield slice(start, len(rows))


def _halves(entries: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    middle = len(entries) // 2
    return entries[:middle], entries[middle:]
