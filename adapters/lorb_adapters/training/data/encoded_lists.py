"""N-best lists made ready for the model: distinct, encoded, their word errors counted."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from lorb.errors import InvalidInput
from lorb.nbest import DistinctHypothesis, NBest
from lorb.word_errors import word_errors
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import RankPrior, first_pass_scores
from lorb_adapters.text import EncodedHypothesis, TextEncoder, TextNormalization

MAX_TOKENS_PER_PASS = 8192


@dataclass(frozen=True, slots=True)
class ReferencedList:
    """One list with its reference, ready to be scored.

    Attributes:
        nbest: as read.
        distinct: its texts in first-pass order, as the server ranks them.
        rows: the same, encoded.
        errors: word errors of each against the reference, counts.
        num_words: words in the reference.
        reference_row: the reference, encoded, where training uses it and it is not among the hypotheses; else None.
        teacher: a teacher's score of each text, natural log, NaN where it has none; empty without a teacher.
    """

    nbest: NBest
    distinct: tuple[DistinctHypothesis, ...]
    rows: tuple[EncodedHypothesis, ...]
    errors: tuple[int, ...]
    num_words: int
    reference_row: EncodedHypothesis | None = None
    teacher: tuple[float, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Of all rows."""
        return sum(row.num_tokens for row in self.rows)

    @property
    def has_contrast(self) -> bool:
        """Whether what it trains on differs in errors; only then does MWER have a gradient."""
        return len(set(self.with_reference().errors)) > 1

    def with_reference(self) -> "ReferencedList":
        """The list with its reference as a last hypothesis, where training uses it: no errors, the best score."""
        if self.reference_row is None:
            return self
        reference = DistinctHypothesis(self.nbest.reference or "", self.distinct[0].first_pass_score, ())
        return replace(
            self,
            distinct=(*self.distinct, reference),
            rows=(*self.rows, self.reference_row),
            errors=(*self.errors, 0),
            reference_row=None,
            teacher=(*self.teacher, math.nan) if self.teacher else (),
        )

    def keeping(self, positions: Sequence[int]) -> "ReferencedList":
        """The list with the texts at `positions` alone."""
        return replace(
            self,
            distinct=tuple(self.distinct[i] for i in positions),
            rows=tuple(self.rows[i] for i in positions),
            errors=tuple(self.errors[i] for i in positions),
            teacher=tuple(self.teacher[i] for i in positions) if self.teacher else (),
        )


def prepare(
    lists: Iterable[NBest],
    encoder: TextEncoder,
    normalization: TextNormalization,
    *,
    uses_context: bool,
    uses_references: bool = False,
    teacher: str = "",
) -> list[ReferencedList]:
    """Encodes lists and counts their word errors. Every list has a reference: the reader has seen to it.

    teacher: the name of the component score that holds a teacher's scores; empty: there is none. Raises InvalidInput
    naming the list where a hypothesis lacks it.
    """
    prepared = []
    for nbest in lists:
        distinct = nbest.distinct()
        reference = nbest.reference or ""
        errors = tuple(word_errors(reference, each.transcript) for each in distinct)
        texts = [each.transcript for each in distinct]
        needs_reference = uses_references and 0 not in errors
        rows = encoder.encode(
            [*texts, reference] if needs_reference else texts, nbest.context, normalization, uses_context
        )
        reference_row = rows.pop() if needs_reference else None
        prepared.append(
            ReferencedList(
                nbest,
                distinct,
                tuple(rows),
                errors,
                len(reference.split()),
                reference_row,
                _teacher_scores(nbest, distinct, teacher) if teacher else (),
            )
        )
    return prepared


def _teacher_scores(nbest: NBest, distinct: Sequence[DistinctHypothesis], name: str) -> tuple[float, ...]:
    scores = []
    for each in distinct:
        components = nbest.hypotheses[each.positions[0]].component_scores
        if name not in components:
            raise InvalidInput(
                f"list {nbest.id[:64]!r}: hypothesis {each.positions[0]} has no component score {name!r}, which "
                f"--teacher names (it has {', '.join(sorted(components)) or 'none'})",
                field="teacher",
            )
        scores.append(components[name])
    return tuple(scores)


def score_lists(
    model: RescoringModel, adapter: AdapterWeights, lists: Sequence[ReferencedList]
) -> Iterator[list[float]]:
    """Rescoring scores of every distinct hypothesis of each list, in order, in passes of bounded size."""
    return score_in_passes(lambda rows: model.score(rows, [adapter], [0] * len(rows)), lists)


def score_in_passes(
    score: Callable[[Sequence[EncodedHypothesis]], torch.Tensor], lists: Sequence[ReferencedList]
) -> Iterator[list[float]]:
    """As `score_lists`, with `score` for rows in any order: it returns [rows] fp32 on the CPU."""
    start = 0
    while start < len(lists):
        stop, num_tokens = start, 0
        while stop < len(lists) and (stop == start or num_tokens < MAX_TOKENS_PER_PASS):
            num_tokens += sum(row.num_tokens for row in lists[stop].rows)
            stop += 1
        scores = score([row for each in lists[start:stop] for row in each.rows])
        for part in torch.split(scores, [len(each.rows) for each in lists[start:stop]]):
            yield part.tolist()
        start = stop


def fit_rank_prior(lists: Sequence[ReferencedList]) -> RankPrior:
    """How often the hypothesis at each rank is its list's best, add-one smoothed, made never to rise.

    Weight and posterior scale are 1 until they are tuned on dev.
    """
    best_ranks = Counter(min(range(len(each.errors)), key=each.errors.__getitem__) for each in lists)
    depth = max(len(each.errors) for each in lists)
    total = len(lists) + depth
    logs: list[float] = []
    for rank in range(depth):
        log_probability = math.log((best_ranks[rank] + 1) / total)
        logs.append(min([log_probability, *logs[-1:]]))
    return RankPrior(tuple(logs), weight=1.0, posterior_scale=1.0)


def training_first_pass(each: ReferencedList, prior: RankPrior) -> list[float]:
    """What stands for the first pass in the loss: the recogniser's scores, or the rank prior's."""
    return first_pass_scores(each.distinct, prior)
