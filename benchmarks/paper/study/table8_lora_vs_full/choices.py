"""Which text a rescorer puts first in each list, by weights that were tuned on the other half of the lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.tuning import scored_lists, tune_switching_margin, tune_weight
from study.lists.error_counts import half


@dataclass(frozen=True, slots=True)
class Choices:
    """Of some lists, in their order.

    Attributes:
        positions: among the distinct texts, of what comes first; 0 is the first pass's.
        errors: its word errors.
    """

    positions: tuple[int, ...]
    errors: tuple[int, ...]

    def utterances(self, lists: Sequence[EncodedList]) -> list[tuple[str, str, str]]:
        """(reference, first pass's text, text chosen) of each list."""
        return [
            (each.nbest.reference or "", each.distinct[0].transcript, each.distinct[position].transcript)
            for each, position in zip(lists, self.positions, strict=True)
        ]


def choices(lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], prior: RankPrior) -> Choices:
    """As `study.lists.error_counts.cross_fitted` chooses."""
    ranked = scored_lists(lists, scores, prior)
    halves = [half(each.nbest.id) for each in lists]
    tuned = {}
    for held_out in (0, 1):
        others = [each for each, side in zip(ranked, halves, strict=True) if side != held_out]
        weight = tune_weight(others)
        tuned[held_out] = (weight, tune_switching_margin(others, weight))
    positions = tuple(each.top(*tuned[side]) for each, side in zip(ranked, halves, strict=True))
    errors = tuple(each.errors[position] for each, position in zip(ranked, positions, strict=True))
    return Choices(positions, errors)
