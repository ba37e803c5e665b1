"""What a report shows of one set beside its figures: errors by length and by depth, posteriors, and examples."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LengthRange:
    """Utterances whose references have from `first_words` to `last_words` words; errors and words are sums.

    `last_words` is None in the last range, which is open.
    """

    first_words: int
    last_words: int | None
    utterances: int
    words: int
    first_pass_errors: int
    rescored_errors: int
    oracle_errors: int


@dataclass(frozen=True, slots=True)
class Depth:
    """Errors of the whole set where only the first `hypotheses` distinct texts of each list are scored."""

    hypotheses: int
    rescored_errors: int
    oracle_errors: int


@dataclass(frozen=True, slots=True)
class PosteriorRange:
    """Lists whose top hypothesis has a posterior from `low` to `high`; those with one text are left out.

    mean_posterior: of the top hypothesis. best_share: how often it has the fewest errors of its list, 0 to 1.
    """

    low: float
    high: float
    lists: int
    mean_posterior: float
    best_share: float


@dataclass(frozen=True, slots=True)
class Example:
    """A list whose choice changed, with the word errors of both choices."""

    id: str
    reference: str
    first_pass: str
    first_pass_errors: int
    rescored: str
    rescored_errors: int


@dataclass(frozen=True, slots=True)
class SetDetail:
    """All of it; `fixed` and `broken` are empty where texts are private."""

    by_length: tuple[LengthRange, ...]
    by_depth: tuple[Depth, ...]
    by_posterior: tuple[PosteriorRange, ...]
    fixed: tuple[Example, ...] = ()
    broken: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightPoint:
    """The word error rate of a set with some weight on the rescoring score, per cent."""

    weight: float
    wer: float
