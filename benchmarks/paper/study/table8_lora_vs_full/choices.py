"""Chooses the first-ranked text of each list, with weights tuned on the other half of the lists."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorb_adapters.ranking import RankPrior
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.evaluation.tuning import scored_lists, tune_switching_margin, tune_weight
from study.lists.error_counts import half


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of a rescorer, in the order of the lists.

    Attributes:
        positions: [lists] position of the chosen text among the distinct ones; 0 is the first pass's choice.
        errors: [lists] word errors of the chosen text.
    """

    positions: tuple[int, ...]
    errors: tuple[int, ...]

    def utterances(self, lists: Sequence[EncodedList]) -> list[tuple[str, str, str]]:
        """(reference, first pass's text, chosen text) of each list."""
        return [
            (each.nbest.reference or "", each.distinct[0].transcript, each.distinct[position].transcript)
            for each, position in zip(lists, self.positions, strict=True)
        ]


def choices(lists: Sequence[EncodedList], scores: Sequence[Sequence[float]], prior: RankPrior) -> Choices:
    """Chooses in each half of the lists with the weight and switching margin tuned on the other half."""
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
