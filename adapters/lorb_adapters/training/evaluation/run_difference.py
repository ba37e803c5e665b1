"""Compares two runs with each other on the lists that both measured: paired bootstrap and MAPSSWE."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lorb.errors import InvalidInput
from lorb_adapters.training.evaluation.list_errors import ListErrors
from lorb_adapters.training.evaluation.significance import (
    MatchedPairs,
    PairedBootstrap,
    paired_bootstrap,
    segment_differences_by_place,
)


@dataclass(frozen=True, slots=True)
class RunDifference:
    """The second run's change from the first one, on the lists that both measured.

    Attributes:
        num_shared: number of lists that both measured.
        change: second minus first WER on these lists, in absolute per cent; below 0, the second run is better.
        bootstrap: interval of the change over paired resamples of these lists.
        mapsswe: result of the matched-pairs test; Z above 0: the second run is better.
    """

    num_shared: int
    change: float
    bootstrap: PairedBootstrap
    mapsswe: MatchedPairs

    @classmethod
    def of(cls, first: Sequence[str], second: Sequence[str]) -> "RunDifference":
        """Matches lists by id and compares their errors.

        first, second: texts of `ListErrors`, one for each list. Raises InvalidInput if no list has the same id in both,
        or if lists with the same id have other references or hypotheses.
        """
        second_by_id = {each.id_digest: each for each in map(ListErrors.parse, second)}
        pairs = [
            (each, second_by_id[each.id_digest])
            for each in map(ListErrors.parse, first)
            if each.id_digest in second_by_id
        ]
        if not pairs:
            raise InvalidInput("no list has the same id in both", field="run")
        num_different = sum(one.texts_digest != other.texts_digest for one, other in pairs)
        if num_different:
            raise InvalidInput(
                f"{num_different:,} of {len(pairs):,} lists with the same id have other references or hypotheses",
                field="run",
            )
        words = np.array([one.num_words for one, _ in pairs])
        first_errors, second_errors = (np.array([len(pair[i].places) for pair in pairs]) for i in (0, 1))
        return cls(
            num_shared=len(pairs),
            change=float(100 * (second_errors.sum() - first_errors.sum()) / max(1, words.sum())),
            bootstrap=paired_bootstrap(first_errors, second_errors, words),
            mapsswe=MatchedPairs.of(
                [d for one, other in pairs for d in segment_differences_by_place(one.by_place, other.by_place)]
            ),
        )
