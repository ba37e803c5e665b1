"""Runs passes of the model, and finds out which list a pass fails for. Belongs to the model thread."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lorb_server.engine.batch import ScoresFutureLike, ScoringModel, Share, Work, gather, score
from lorb_server.telemetry.logs import log_failure
from lorb_server.telemetry.metrics import Metrics

MINIMUM_BATCH_TOKENS = 128  # however short of memory the device has been

PassOutcome = tuple[float, ...] | Exception  # a list's scores, or what the model raises for it alone

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Launched:
    """A pass that the device may still be at.

    Attributes:
        shares: the lists in it.
        work: their rows.
        pending: its scores to come; None where it could not even be started, or is not one pass.
    """

    shares: Sequence[Share]
    work: Work
    pending: ScoresFutureLike | None

    @property
    def is_ready(self) -> bool:
        """Whether nothing is gained by preparing another pass meanwhile."""
        return self.pending is None or self.pending.is_ready


class BatchRunner:
    """Scores lists together; one that makes the pass raise fails alone."""

    def __init__(self, model: ScoringModel, metrics: Metrics, max_tokens: int) -> None:
        """`max_tokens` is the most that one pass may read; it falls where the device has no memory for it."""
        self.max_tokens = max_tokens
        self._model = model
        self._metrics = metrics

    def launch(self, shares: Sequence[Share]) -> Launched:
        """Starts a pass of these lists."""
        work = gather(shares)
        pending = None
        if work.rows and work.num_tokens <= self.max_tokens:
            try:
                pending = self._model.launch(work.rows, work.adapters, work.row_adapters)
            except Exception as error:
                self._note_failure(error, len(shares))
        return Launched(shares, work, pending)

    def collect(self, launched: Launched) -> list[PassOutcome]:
        """Each list's scores; natural log scale, higher is better. A pass that raised is done again in halves."""
        if launched.pending is None:
            return self._run(launched.shares, launched.work)
        try:
            scores: list[float] = launched.pending.collect().tolist()
        except Exception as error:
            self._note_failure(error, len(launched.shares))
            return self._run(launched.shares, launched.work)
        self._observe(launched.work)
        return [tuple(scores[place] for place in places) for places in launched.work.places]

    def _run(self, shares: Sequence[Share], work: Work) -> list[PassOutcome]:
        if not shares:
            return []
        try:
            scores = score(self._model, work, self.max_tokens, self._shrink)
        except Exception as error:
            self._note_failure(error, len(shares))
            if len(shares) == 1:
                return [error]
        else:
            self._observe(work)
            return [*scores]
        middle = len(shares) // 2
        halves = (shares[:middle], shares[middle:])
        return [outcome for half in halves for outcome in self._run(half, gather(half))]

    def _observe(self, work: Work) -> None:
        self._metrics.observe_pass(
            tokens=work.num_tokens,
            lists=len(work.places),
            adapters=len(work.adapters),
            deduplicated=work.num_deduplicated,
        )

    def _note_failure(self, error: Exception, lists: int) -> None:
        log_failure(_log, "a pass of the model failed", error, lists=lists)
        self._metrics.failed_passes.inc()

    def _shrink(self) -> None:
        """Makes later passes smaller: what did not fit once will not fit again."""
        self.max_tokens = max(MINIMUM_BATCH_TOKENS, self.max_tokens // 2)
        self._metrics.out_of_memory.inc()
        _log.warning(
            "the device is out of memory; passes become smaller", extra={"fields": {"tokens": self.max_tokens}}
        )
