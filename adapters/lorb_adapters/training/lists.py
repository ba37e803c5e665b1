"""N-best lists made ready for the model: distinct, encoded, their word errors counted."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from lorb.nbest import DistinctHypothesis, NBest
from lorb.word_errors import word_errors
from lorb_adapters.lora import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import RankPrior, first_pass_scores
from lorb_adapters.text import EncodedRow, TextEncoder, TextNormalization

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
    """

    nbest: NBest
    distinct: tuple[DistinctHypothesis, ...]
    rows: tuple[EncodedRow, ...]
    errors: tuple[int, ...]
    num_words: int
    reference_row: EncodedRow | None = None

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
        )


def prepare(
    lists: Iterable[NBest],
    encoder: TextEncoder,
    normalization: TextNormalization,
    *,
    uses_context: bool,
    uses_references: bool = False,
) -> list[ReferencedList]:
    """Encodes lists and counts their word errors. Every list has a reference: the reader has seen to it."""
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
        prepared.append(ReferencedList(nbest, distinct, tuple(rows), errors, len(reference.split()), reference_row))
    return prepared


def score_lists(
    model: RescoringModel, adapter: AdapterWeights, lists: Sequence[ReferencedList]
) -> Iterator[list[float]]:
    """Rescoring scores of every distinct hypothesis of each list, in order, in passes of bounded size."""
    start = 0
    while start < len(lists):
        stop, num_tokens = start, 0
        while stop < len(lists) and (stop == start or num_tokens < MAX_TOKENS_PER_PASS):
            num_tokens += sum(row.num_tokens for row in lists[stop].rows)
            stop += 1
        rows = [row for each in lists[start:stop] for row in each.rows]
        scores = model.score(rows, [adapter], [0] * len(rows))
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
