"""Whether posteriors mean what they say: of hypotheses given 0.8, eight in ten should be their list's best."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lorb_adapters.ranking import Ranking
from lorb_adapters.training.data.encoded_lists import ReferencedList
from lorb_adapters.training.evaluation.tuning import scored

_NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Lists whose likeliest hypothesis has a posterior in one tenth of 0 to 1.

    Attributes:
        num_lists: a count.
        confidence: mean posterior of the likeliest hypotheses, 0 to 1.
        accuracy: mean of what they deserved, 0 to 1: 1 / k where one is among the k of its list with the fewest word
            errors, else 0.
    """

    num_lists: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence is from accuracy.

    Attributes:
        bins: those that hold lists, by rising confidence.
    """

    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, posteriors: Sequence[Sequence[float]], errors: Sequence[Sequence[int]]) -> "Calibration":
        """The posteriors of each list's hypotheses against what was right by their word errors.

        Right is the likeliest hypothesis if none of its list has fewer word errors: what the scale is tuned for, and
        possible in every list, as a transcript without errors is not. Of k that are equally good each is worth 1 / k,
        for the posteriors of a list sum to 1. Lists whose hypotheses all have equal errors are left out, there and
        here.
        """
        contrasting = [each for each in zip(posteriors, errors, strict=True) if len(set(each[1])) > 1]
        confidences, right = np.empty(len(contrasting)), np.empty(len(contrasting))
        for i, (own, counts) in enumerate(contrasting):
            likeliest = max(range(len(own)), key=own.__getitem__)
            fewest = min(counts)
            confidences[i] = own[likeliest]
            right[i] = (counts[likeliest] == fewest) / counts.count(fewest)
        numbers = np.minimum((confidences * _NUM_BINS).astype(int), _NUM_BINS - 1)
        held = [numbers == number for number in np.unique(numbers)]
        return cls(tuple(Bin(int(in_it.sum()), _mean(confidences[in_it]), _mean(right[in_it])) for in_it in held))

    @property
    def num_lists(self) -> int:
        """Lists with contrast."""
        return sum(each.num_lists for each in self.bins)

    @property
    def expected_error(self) -> float:
        """Expected calibration error, 0 to 1: |accuracy - confidence| of the bins, averaged over lists.

        C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks", ICML 2017.
        """
        total = sum(each.num_lists * abs(each.accuracy - each.confidence) for each in self.bins)
        return total / max(1, self.num_lists)

    @property
    def confidence(self) -> float:
        """Mean posterior of the likeliest hypotheses."""
        return sum(each.num_lists * each.confidence for each in self.bins) / max(1, self.num_lists)

    @property
    def accuracy(self) -> float:
        """What the likeliest hypotheses deserved."""
        return sum(each.num_lists * each.accuracy for each in self.bins) / max(1, self.num_lists)

    def to_json(self) -> dict[str, object]:
        """The figures and the bins of a reliability diagram."""
        return {
            "lists": self.num_lists,
            "confidence": self.confidence,
            "accuracy": self.accuracy,
            "expected_calibration_error": self.expected_error,
            "bins": [asdict(each) for each in self.bins],
        }


@dataclass(frozen=True, slots=True)
class CalibrationChange:
    """Dev's calibration at scale 1, and at the scale that was tuned on it."""

    before: Calibration
    after: Calibration

    @classmethod
    def of(
        cls, dev: Sequence[ReferencedList], scores: Sequence[Sequence[float]], ranking: Ranking
    ) -> "CalibrationChange":
        """Of `dev` with its rescoring scores, each list by what was tuned for its kind, with scores or without."""
        tuned = [ranking.tuned(has_scores=each.nbest.has_scores) for each in dev]
        ranked = list(zip(scored(dev, scores, ranking.rank_prior), tuned, strict=True))
        errors = [each.errors for each in dev]
        return cls(
            before=Calibration.of([each.posteriors(own.weight, 1.0) for each, own in ranked], errors),
            after=Calibration.of([each.posteriors(own.weight, own.posterior_scale) for each, own in ranked], errors),
        )


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
