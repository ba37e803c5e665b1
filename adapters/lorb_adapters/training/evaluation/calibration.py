"""Calibration: compares the posteriors of the top hypotheses with how often these are the best of their lists."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field

from lorb_adapters.json_files import Count
from lorb_adapters.ranking import Ranking
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.set_figures import Share
from lorb_adapters.training.evaluation.tuning import scored_lists

NUM_BINS = 10


class Bin(Struct, frozen=True):
    """Lists whose top hypothesis has a posterior in one tenth of the range 0 to 1.

    Attributes:
        num_lists: number of lists.
        confidence: mean posterior of the top hypotheses.
        accuracy: mean credit of the top hypotheses. If k hypotheses of a list have its fewest word errors, each of them
            has the credit 1 / k; all others have the credit 0.
    """

    num_lists: Count
    confidence: Share
    accuracy: Share


class Calibration(Struct, frozen=True):
    """Confidence and accuracy of the top hypotheses of all lists with contrast.

    Attributes:
        num_lists: number of lists with contrast: lists whose hypotheses differ in word errors.
        confidence: mean posterior of the top hypotheses.
        accuracy: mean credit of the top hypotheses; the credit is defined as for a bin.
        expected_error: expected calibration error: the mean of the bins' |accuracy - confidence|, weighted by their
            numbers of lists. C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On calibration of modern neural networks",
            ICML 2017.
        bins: the bins that hold lists, by rising confidence.
    """

    num_lists: Count = field(name="lists")
    confidence: Share
    accuracy: Share
    expected_error: Share = field(name="expected_calibration_error")
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, posteriors: Sequence[Sequence[float]], errors: Sequence[Sequence[int]]) -> "Calibration":
        """Compares the posteriors of each list's hypotheses with their word errors.

        The top hypothesis is right if no other hypothesis of its list has fewer errors; the posterior scale is tuned by
        the same criterion. Each of k equally good hypotheses gets a credit of 1 / k, because the posteriors of a list
        sum to 1. Lists without contrast, whose hypotheses have equal errors, are left out, as in tuning.
        """
        bins = tuple(each for _, each in numbered_bins(posteriors, errors))
        num_lists = sum(each.num_lists for each in bins)

        def average(values: Sequence[float]) -> float:
            total = sum(each.num_lists * value for each, value in zip(bins, values, strict=True))
            return total / max(1, num_lists)

        return cls(
            num_lists=num_lists,
            confidence=average([each.confidence for each in bins]),
            accuracy=average([each.accuracy for each in bins]),
            expected_error=average([abs(each.accuracy - each.confidence) for each in bins]),
            bins=bins,
        )


class CalibrationChange(Struct, frozen=True):
    """Calibration on dev at posterior scale 1, and at the scale tuned on dev."""

    before: Calibration = field(name="scale_1")
    after: Calibration = field(name="tuned")

    @classmethod
    def of(cls, dev: Sequence[EncodedList], scores: Sequence[Sequence[float]], ranking: Ranking) -> "CalibrationChange":
        """Computes both calibrations. Lists with and without first-pass scores each use the weight tuned for them.

        scores: rescoring scores of each list's distinct hypotheses, natural log.
        """
        errors = [each.errors for each in dev]
        return cls(
            before=Calibration.of(list_posteriors(dev, scores, ranking, scale=1.0), errors),
            after=Calibration.of(list_posteriors(dev, scores, ranking), errors),
        )


def list_posteriors(
    lists: Sequence[EncodedList],
    scores: Sequence[Sequence[float]],
    ranking: Ranking,
    *,
    scale: float | None = None,
) -> list[list[float]]:
    """Returns the posteriors of each list's distinct hypotheses. scale: the posterior scale; None: the tuned one."""
    tuned = [ranking.tuned(has_scores=each.nbest.has_scores) for each in lists]
    return [
        each.posteriors(tuning.weight, tuning.posterior_scale if scale is None else scale)
        for each, tuning in zip(scored_lists(lists, scores, ranking.rank_prior), tuned, strict=True)
    ]


def numbered_bins(posteriors: Sequence[Sequence[float]], errors: Sequence[Sequence[int]]) -> list[tuple[int, Bin]]:
    """Returns each bin that holds lists with its number: bin i has the posteriors from i / 10 to (i + 1) / 10."""
    contrasting = [each for each in zip(posteriors, errors, strict=True) if len(set(each[1])) > 1]
    confidences, credits_ = np.empty(len(contrasting)), np.empty(len(contrasting))
    for i, (values, counts) in enumerate(contrasting):
        top = max(range(len(values)), key=values.__getitem__)
        min_errors = min(counts)
        confidences[i] = values[top]
        credits_[i] = (counts[top] == min_errors) / counts.count(min_errors)
    numbers = np.minimum((confidences * NUM_BINS).astype(int), NUM_BINS - 1)
    members = [(int(number), numbers == number) for number in np.unique(numbers)]
    return [(number, Bin(int(each.sum()), _mean(confidences[each]), _mean(credits_[each]))) for number, each in members]


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
