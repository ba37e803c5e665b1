"""How good an adapter is on a set of lists: word errors before, after, and at best."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lorb_adapters.ranking import Ranking
from lorb_adapters.training.data.encoded_lists import ReferencedList
from lorb_adapters.training.evaluation.mapsswe import MatchedPairs, matched_pairs
from lorb_adapters.training.evaluation.tuning import scored

NUM_RESAMPLES = 10_000
PUBLISHING_PROBABILITY = 0.95


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Word errors of one set, utterance by utterance; counts, pooled when divided.

    Attributes:
        words: [utterances] words in each reference.
        first_pass, rescored, oracle: [utterances] errors of the recogniser's choice, of ours, of the best there was.
        without_margin: [utterances] errors of ours if there were no switching margin; None where that is not known.
        matched_pairs: first pass against ours; None where the texts are not known.
    """

    words: np.ndarray
    first_pass: np.ndarray
    rescored: np.ndarray
    oracle: np.ndarray
    without_margin: np.ndarray | None = None
    matched_pairs: MatchedPairs | None = None

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

    def num_fixed(self, errors: np.ndarray) -> int:
        """Lists with fewer errors than in the first pass."""
        return int((errors < self.first_pass).sum())

    def num_broken(self, errors: np.ndarray) -> int:
        """Lists with more errors than in the first pass."""
        return int((errors > self.first_pass).sum())

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
            "lists_fixed": self.num_fixed(self.rescored),
            "lists_broken": self.num_broken(self.rescored),
            "wer_change_interval_95": [interval.low, interval.high],
            "probability_of_improvement": interval.probability_of_improvement,
            "mapsswe": None if self.matched_pairs is None else asdict(self.matched_pairs),
            "without_switching_margin": self._without_margin(),
        }

    def _without_margin(self) -> dict[str, object] | None:
        if self.without_margin is None:
            return None
        return {
            "rescored_wer": self.percent(self.without_margin),
            "lists_fixed": self.num_fixed(self.without_margin),
            "lists_broken": self.num_broken(self.without_margin),
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


def evaluate(lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]], ranking: Ranking) -> Evaluation:
    """Ranks each list as the server does, by what was tuned for its kind; counts the errors of what comes first."""
    ranked = scored(lists, scores, ranking.rank_prior)
    tuned = [ranking.tuned(has_scores=each.nbest.has_scores) for each in lists]
    chosen = [each.chosen(own.weight, own.switching_margin) for each, own in zip(ranked, tuned, strict=True)]
    return Evaluation(
        words=np.array([each.num_words for each in lists]),
        first_pass=np.array([each.errors[0] for each in lists]),
        rescored=np.array([each.errors[i] for each, i in zip(lists, chosen, strict=True)]),
        oracle=np.array([min(each.errors) for each in lists]),
        without_margin=np.array([each.chosen_errors(own.weight) for each, own in zip(ranked, tuned, strict=True)]),
        matched_pairs=matched_pairs(
            (each.nbest.reference or "", each.distinct[0].transcript, each.distinct[i].transcript)
            for each, i in zip(lists, chosen, strict=True)
        ),
    )
