"""The figures of one evaluated set, as report.json stores them."""

from typing import Annotated

from msgspec import Meta, Struct, field

from lorb_adapters.json_files import Count, Finite
from lorb_adapters.training.evaluation.list_errors import ListErrorsText
from lorb_adapters.training.evaluation.significance import MatchedPairs

Share = Annotated[float, Meta(ge=0, le=1)]


class LengthRange(Struct, frozen=True):
    """Words and word errors of the utterances whose references have `first_words` to `last_words` words.

    The last range has no upper end: its `last_words` is None.
    """

    first_words: Count
    last_words: Count | None
    utterances: Count
    words: Count
    first_pass_errors: Count
    rescored_errors: Count
    oracle_errors: Count


class DepthErrors(Struct, frozen=True):
    """Word errors of the set if only the first `hypotheses` distinct hypotheses of each list are scored."""

    hypotheses: Count
    rescored_errors: Count
    oracle_errors: Count


class PosteriorRange(Struct, frozen=True):
    """Lists with contrast whose likeliest hypothesis has a posterior from `low` to `high`.

    Attributes:
        lists: number of lists.
        mean_posterior: mean posterior of the likeliest hypotheses.
        best_share: mean credit of the likeliest hypotheses, as in `Bin.accuracy`: 1 / k if k hypotheses have the fewest
            errors of the list and this is one of them, else 0. Until release 0.1.0: the share of the lists whose top
            hypothesis has the fewest errors, lists without contrast included.
    """

    low: Finite
    high: Finite
    lists: Count
    mean_posterior: Share
    best_share: Share


class Example(Struct, frozen=True):
    """A list whose top hypothesis changed, with the word errors of both choices."""

    id: str
    reference: str
    first_pass: str
    first_pass_errors: Count
    rescored: str
    rescored_errors: Count


class ChangeWithoutMargin(Struct, frozen=True):
    """The rescored WER in per cent, and the lists improved and worsened, without a switching margin."""

    rescored_wer: Finite
    lists_improved: Count = field(name="lists_fixed")
    lists_worsened: Count = field(name="lists_broken")


class SetFigures(Struct, frozen=True, kw_only=True):
    """Word error rates of a set, pooled and in per cent, and the significance of the change.

    Attributes:
        utterances: number of utterances.
        words: number of words in their references.
        relative_gain_percent: WER reduction in per cent of the first-pass WER.
        oracle_gap_closed_percent: WER reduction in per cent of the WER difference between first pass and oracle.
        lists_improved: number of lists with fewer errors than in the first pass.
        lists_worsened: number of lists with more errors than in the first pass.
        change_interval: ends of the 95% interval of rescored minus first-pass WER, absolute per cent.
        probability_of_improvement: share of the bootstrap's resamples in which rescoring saves word errors, 0 to 1.
        mapsswe: result of the test that compares the rescored texts with the first pass; None if the texts are unknown.
        without_margin: figures without a switching margin; None if they were not computed.
        list_errors: word errors of the rescored texts list by list, as `ListErrors` writes them; empty in reports of
            older releases.
    """

    utterances: Count
    words: Count
    first_pass_wer: Finite
    rescored_wer: Finite
    oracle_wer: Finite
    relative_gain_percent: Finite
    oracle_gap_closed_percent: Finite = field(name="recovered_gap_percent")
    lists_improved: Count = field(name="lists_fixed")
    lists_worsened: Count = field(name="lists_broken")
    change_interval: tuple[Finite, Finite] = field(name="wer_change_interval_95")
    probability_of_improvement: Finite
    mapsswe: MatchedPairs | None = None
    without_margin: ChangeWithoutMargin | None = field(name="without_switching_margin", default=None)
    list_errors: tuple[ListErrorsText, ...] = ()

    @property
    def change(self) -> float:
        """Rescored minus first-pass WER, in absolute per cent; below 0 is better."""
        return self.rescored_wer - self.first_pass_wer


class SetBreakdown(SetFigures, frozen=True, kw_only=True):
    """The figures of a set, and its errors by length, by list depth and by posterior.

    Attributes:
        improved, worsened: examples of lists that rescoring improved or worsened; empty if the texts are private.
    """

    by_length: tuple[LengthRange, ...]
    by_depth: tuple[DepthErrors, ...]
    by_posterior: tuple[PosteriorRange, ...]
    improved: tuple[Example, ...] = field(name="fixed")
    worsened: tuple[Example, ...] = field(name="broken")
