"""Word errors of a set of lists: first pass, rescored and oracle, per utterance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorb_adapters.ranking import Ranking
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.list_errors import ListErrors
from lorb_adapters.training.evaluation.set_figures import ChangeWithoutMargin, SetFigures
from lorb_adapters.training.evaluation.significance import MatchedPairs, matched_pairs, paired_bootstrap
from lorb_adapters.training.evaluation.tuning import scored_lists


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Word error counts of one set, utterance by utterance.

    Attributes:
        words: [utterances] words of each reference.
        first_pass: [utterances] word errors of the recogniser's top hypothesis.
        rescored: [utterances] errors of the hypothesis that rescoring puts first.
        oracle: [utterances] errors of the best hypothesis of each list.
        without_margin: [utterances] errors of the hypothesis that rescoring puts first without a switching margin; None
            if not evaluated.
        mapsswe: result of the test that compares the rescored texts with the first pass; None if the texts are unknown.
        list_errors: the rescored texts' word errors of each list, as `ListErrors.to_text` writes them; empty if the
            texts are unknown.
    """

    words: np.ndarray
    first_pass: np.ndarray
    rescored: np.ndarray
    oracle: np.ndarray
    without_margin: np.ndarray | None = None
    mapsswe: MatchedPairs | None = None
    list_errors: tuple[str, ...] = ()

    @property
    def num_utterances(self) -> int:
        """Number of lists."""
        return len(self.words)

    def percent(self, errors: np.ndarray) -> float:
        """Returns the pooled word error rate, per cent. errors: [utterances] word errors."""
        return float(100 * errors.sum() / max(1, self.words.sum()))

    def figures(self) -> SetFigures:
        """Returns the pooled rates, the numbers of lists improved and worsened, and the significance of the change."""
        first_pass, rescored = self.percent(self.first_pass), self.percent(self.rescored)
        oracle_gap = max(1, self.first_pass.sum() - self.oracle.sum())
        bootstrap = paired_bootstrap(self.first_pass, self.rescored, self.words)
        return SetFigures(
            utterances=self.num_utterances,
            words=int(self.words.sum()),
            first_pass_wer=first_pass,
            rescored_wer=rescored,
            oracle_wer=self.percent(self.oracle),
            relative_gain_percent=100 * (first_pass - rescored) / first_pass if first_pass else 0.0,
            oracle_gap_closed_percent=float(100 * (self.first_pass.sum() - self.rescored.sum()) / oracle_gap),
            lists_improved=self._num_improved(self.rescored),
            lists_worsened=self._num_worsened(self.rescored),
            change_interval=(bootstrap.low, bootstrap.high),
            probability_of_improvement=bootstrap.probability_of_improvement,
            mapsswe=self.mapsswe,
            without_margin=None
            if self.without_margin is None
            else ChangeWithoutMargin(
                self.percent(self.without_margin),
                self._num_improved(self.without_margin),
                self._num_worsened(self.without_margin),
            ),
            list_errors=self.list_errors,
        )

    def _num_improved(self, errors: np.ndarray) -> int:
        return int((errors < self.first_pass).sum())

    def _num_worsened(self, errors: np.ndarray) -> int:
        return int((errors > self.first_pass).sum())


def evaluate(lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], ranking: Ranking) -> Evaluation:
    """Ranks each list as the server does; returns the word errors of the top hypotheses.

    Lists with first-pass scores are ranked with the weight and margin tuned for such lists, all other lists with the
    weight and margin of the rank prior. scores: rescoring scores of each list's distinct hypotheses, natural log.
    """
    return evaluate_each(lists, scores, [ranking] * len(lists))


def evaluate_each(
    lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], rankings: Sequence[Ranking]
) -> Evaluation:
    """Evaluates lists of which each has a ranking of its own; all rankings have the same log probabilities of ranks."""
    ranked = scored_lists(lists, scores, rankings[0].rank_prior)
    tuned = [ranking.tuned(has_scores=each.nbest.has_scores) for each, ranking in zip(lists, rankings, strict=True)]
    top = [each.top(tuning.weight, tuning.switching_margin) for each, tuning in zip(ranked, tuned, strict=True)]
    chosen = [each.distinct[i].transcript for each, i in zip(lists, top, strict=True)]
    return Evaluation(
        words=np.array([each.num_words for each in lists]),
        first_pass=np.array([each.errors[0] for each in lists]),
        rescored=np.array([each.errors[i] for each, i in zip(lists, top, strict=True)]),
        oracle=np.array([min(each.errors) for each in lists]),
        without_margin=np.array([each.top_errors(tuning.weight) for each, tuning in zip(ranked, tuned, strict=True)]),
        mapsswe=matched_pairs(
            (each.nbest.reference or "", each.distinct[0].transcript, text)
            for each, text in zip(lists, chosen, strict=True)
        ),
        list_errors=tuple(ListErrors.of(each.nbest, text).to_text() for each, text in zip(lists, chosen, strict=True)),
    )
