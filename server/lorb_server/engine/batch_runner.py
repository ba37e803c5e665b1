"""Runs batches on the model: halves a pass that runs out of memory, and isolates a list on which the model raises."""

import logging
from collections.abc import Callable, Iterator, Sequence

import torch

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from lorb_server.engine.batch import Batch, Share
from lorb_server.engine.device import is_out_of_memory
from lorb_server.engine.scheduling.deadline_queue import Entry
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

MINIMUM_BATCH_TOKENS = 128  # the token budget never falls below this

ListOutcome = tuple[float, ...] | Exception  # a list's scores, or the error that the model raised on this list alone

_log = logging.getLogger(__name__)


class BatchRunner:
    """Scores lists together. If the model raises on one list, only this list fails. Belongs to a worker.

    Attributes:
        max_tokens: the most tokens that one pass may read; halved when the device runs out of memory.
    """

    def __init__(self, model: RescoringModel, metrics: Metrics, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._model = model
        self._metrics = metrics

    def launch(self, share: Share) -> None:
        """Starts the pass of a share.

        If the share is too large for one pass, or if starting the pass raises, `collect` scores the share instead.
        """
        if share.tokens <= self.max_tokens:
            try:
                share.scores = self._model.launch(share.rows, share.batch.adapters, share.row_adapters)
            except Exception as error:
                self._note_failure(error, len(share.batch.entries))

    def collect(self, share: Share) -> None:
        """Puts the scores of a share's rows into `row_scores` of its batch; if the model raises, sets `error` there."""
        batch = share.batch
        scores = self._launched_scores(share)
        if scores is None:
            try:
                scores = _score_rows(
                    self._model, share.rows, batch.adapters, share.row_adapters, self.max_tokens, self._shrink
                )
            except Exception as error:
                self._note_failure(error, len(batch.entries))
                batch.error = error
                return
        for number, value in zip(share.row_numbers, scores, strict=True):
            batch.row_scores[number] = value

    def outcomes(self, batch: Batch) -> list[ListOutcome]:
        """Returns for each list its scores (natural log scale, higher is better) or its error.

        Belongs after `collect` of every share. If the model raised, the lists are scored again in halves.
        """
        if batch.error is not None:
            return self._isolate(batch.entries, batch.error)
        self._observe(batch)
        return [*batch.scores_by_list(batch.row_scores)]

    def _launched_scores(self, share: Share) -> list[float] | None:
        """The scores of the launched pass; None if there is none, or if it raised."""
        if share.scores is None:
            return None
        try:
            scores: list[float] = share.scores.collect().tolist()
        except Exception as error:
            self._note_failure(error, len(share.batch.entries))
            return None
        return scores

    def _isolate(self, entries: Sequence[Entry], error: Exception) -> list[ListOutcome]:
        """The outcomes of lists on which the model has raised `error` together."""
        if len(entries) == 1:
            return [error]
        return [outcome for half in _halves(entries) for outcome in self._run(Batch.of(half))]

    def _run(self, batch: Batch) -> list[ListOutcome]:
        try:
            scores = score(self._model, batch, self.max_tokens, self._shrink)
        except Exception as error:
            self._note_failure(error, len(batch.entries))
            return self._isolate(batch.entries, error)
        self._observe(batch)
        return [*scores]

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
    return batch.scores_by_list(
        _score_rows(model, batch.rows, batch.adapters, batch.row_adapters, max_tokens, on_out_of_memory)
    )


def _score_rows(
    model: RescoringModel,
    rows: Sequence[EncodedHypothesis],
    adapters: Sequence[AdapterWeights],
    row_adapters: Sequence[int],
    max_tokens: int,
    on_out_of_memory: Callable[[], None],
) -> list[float]:
    """The score of each row, in passes of at most `max_tokens`."""
    scores: list[float] = []
    for part in _parts(rows, max_tokens):
        scores += _score_part(model, rows[part], adapters, row_adapters[part], on_out_of_memory)
    return scores


def _score_part(
    model: RescoringModel,
    rows: Sequence[EncodedHypothesis],
    adapters: Sequence[AdapterWeights],
    row_adapters: Sequence[int],
    on_out_of_memory: Callable[[], None],
) -> list[float]:
    try:
        scores: list[float] = model.score(rows, adapters, row_adapters).tolist()
    except Exception as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
    else:
        return scores
    # after the except clause: inside the clause, the error's traceback holds the tensors that fill the memory
    on_out_of_memory()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(rows) // 2
    first = _score_part(model, rows[:middle], adapters, row_adapters[:middle], on_out_of_memory)
    return first + _score_part(model, rows[middle:], adapters, row_adapters[middle:], on_out_of_memory)


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
