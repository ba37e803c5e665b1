"""How good an adapter is on a set of lists: word errors before, after, and at best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.lists import ReferencedList
from lorb_adapters.training.tuning import scored

NUM_RESAMPLES = 10_000
PUBLISHING_PROBABILITY = 0.95


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Word errors of one set, utterance by utterance; counts, pooled when divided.

    Attributes:
        words: [utterances] words in each reference.
        first_pass, rescored, oracle: [utterances] errors of the recogniser's choice, of ours, of the best there was.
    """

    words: np.ndarray
    first_pass: np.ndarray
    rescored: np.ndarray
    oracle: np.ndarray

    @property
    def num_utterances(self) -> int:
        """How many lists."""
        return len(self.words)

    def percent(self, errors: np.ndarray) -> float:
        """Pooled word error rate of `errors`, per cent."""
        return float(100 * errors.sum() / max(1, self.words.sum()))

    @property
    def recovered_gap_percent(self) -> float:
        """Share of the way from the first pass to the oracle, per cent."""
        gap = self.first_pass.sum() - self.oracle.sum()
        return float(100 * (self.first_pass.sum() - self.rescored.sum()) / max(1, gap))

    def bootstrap(self, *, seed: int = 0) -> "PairedBootstrap":
        """Resamples utterances for both systems alike, 10,000 times (Bisani and Ney 2004)."""
        difference = self.rescored - self.first_pass
        rng = np.random.default_rng(seed)
        deltas = np.empty(NUM_RESAMPLES)
        for i in range(NUM_RESAMPLES):
            drawn = rng.integers(0, self.num_utterances, self.num_utterances)
            deltas[i] = 100 * difference[drawn].sum() / max(1, self.words[drawn].sum())
        low, high = np.percentile(deltas, [2.5, 97.5])
        return PairedBootstrap(float(low), float(high), float((deltas < 0).mean()))

    def to_json(self) -> dict[str, object]:
        """All figures, rates in per cent."""
        first_pass, rescored = self.percent(self.first_pass), self.percent(self.rescored)
        interval = self.bootstrap()
        return {
            "utterances": self.num_utterances,
            "words": int(self.words.sum()),
            "first_pass_wer": first_pass,
            "rescored_wer": rescored,
            "oracle_wer": self.percent(self.oracle),
            "relative_gain_percent": 100 * (first_pass - rescored) / first_pass if first_pass else 0.0,
            "recovered_gap_percent": self.recovered_gap_percent,
            "lists_fixed": int((self.rescored < self.first_pass).sum()),
            "lists_broken": int((self.rescored > self.first_pass).sum()),
            "wer_change_interval_95": [interval.low, interval.high],
            "probability_of_improvement": interval.probability_of_improvement,
        }


@dataclass(frozen=True, slots=True)
class PairedBootstrap:
    """The change in WER, absolute per cent, negative is better.

    Attributes:
        low, high: ends of the 95% interval.
        probability_of_improvement: share of resamples with fewer errors.
    """

    low: float
    high: float
    probability_of_improvement: float


def evaluate(
    lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]], prior: RankPrior, weight: float
) -> Evaluation:
    """Ranks each list with `weight` and counts the errors of what comes first."""
    ranked = scored(lists, scores, prior)
    return Evaluation(
        words=np.array([each.num_words for each in lists]),
        first_pass=np.array([each.errors[0] for each in lists]),
        rescored=np.array([each.chosen_errors(weight) for each in ranked]),
        oracle=np.array([min(each.errors) for each in lists]),
    )
