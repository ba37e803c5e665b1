"""Encodes N-best lists for the model and counts the word errors of their hypotheses."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lorb.errors import InvalidInput
from lorb.nbest import DistinctHypothesis, NBest
from lorb.word_errors import word_errors
from lorb_adapters.ranking import RankPrior
from lorb_adapters.text import EncodedHypothesis, TextEncoder, TextNormalization


@dataclass(frozen=True, slots=True)
class EncodedList:
    """A list with a reference, encoded for the model.

    Attributes:
        nbest: the list as read.
        distinct: its distinct texts in first-pass order, as the server ranks them.
        ranks: the rank of each text in the whole list, from 0; a reference added to the texts has that of the first
            pass's best.
        rows: the same texts, encoded.
        errors: word errors of each text against the reference.
        num_words: words in the reference.
        reference_row: the encoded reference, if training uses references and no hypothesis is free of word errors.
        teacher: the teacher's score of each text, natural log, NaN for a text without a score; empty without a teacher.
    """

    nbest: NBest
    distinct: tuple[DistinctHypothesis, ...]
    ranks: tuple[int, ...]
    rows: tuple[EncodedHypothesis, ...]
    errors: tuple[int, ...]
    num_words: int
    reference_row: EncodedHypothesis | None = None
    teacher: tuple[float, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Number of tokens in all rows."""
        return sum(row.num_tokens for row in self.rows)

    @property
    def has_contrast(self) -> bool:
        """Whether the texts to train on differ in word errors; without a difference MWER has no gradient."""
        return len(set(self.with_reference().errors)) > 1

    def with_reference(self) -> "EncodedList":
        """Returns the list with `reference_row`, if there is one, as a last hypothesis.

        The reference has no word errors. No first pass ranked it, so it gets the first-pass score of the list's best
        hypothesis, or in a list without scores that hypothesis's rank: the rescoring score alone decides between them.
        """
        if self.reference_row is None:
            return self
        reference = DistinctHypothesis(self.nbest.reference or "", self.distinct[0].first_pass_score, ())
        return replace(
            self,
            distinct=(*self.distinct, reference),
            ranks=(*self.ranks, self.ranks[0]),
            rows=(*self.rows, self.reference_row),
            errors=(*self.errors, 0),
            reference_row=None,
            teacher=(*self.teacher, math.nan) if self.teacher else (),
        )

    def first_pass_scores(self, prior: RankPrior) -> list[float]:
        """Returns the recogniser's score of each text, or the prior's for the text's rank if the list has no scores."""
        scores = [each.first_pass_score for each in self.distinct if each.first_pass_score is not None]
        if scores:
            return scores
        by_rank = prior.scores(max(self.ranks) + 1)
        return [by_rank[rank] for rank in self.ranks]

    def select(self, positions: Sequence[int]) -> "EncodedList":
        """Returns the list with only the texts at `positions`."""
        return replace(
            self,
            distinct=tuple(self.distinct[i] for i in positions),
            ranks=tuple(self.ranks[i] for i in positions),
            rows=tuple(self.rows[i] for i in positions),
            errors=tuple(self.errors[i] for i in positions),
            teacher=tuple(self.teacher[i] for i in positions) if self.teacher else (),
        )


def encode_lists(
    lists: Iterable[NBest],
    encoder: TextEncoder,
    normalization: TextNormalization,
    *,
    uses_context: bool,
    uses_references: bool = False,
    teacher: str = "",
) -> list[EncodedList]:
    """Encodes lists, which must have references, and counts the word errors of their hypotheses.

    teacher: name of the component score that holds the teacher's scores; empty without a teacher. Raises InvalidInput,
    naming the list, if a hypothesis lacks that score.
    """
    encoded = []
    for nbest in lists:
        distinct = nbest.distinct()
        reference = nbest.reference or ""
        errors = tuple(word_errors(reference, each.transcript) for each in distinct)
        texts = [each.transcript for each in distinct]
        adds_reference = uses_references and 0 not in errors
        rows = encoder.encode(
            [*texts, reference] if adds_reference else texts, nbest.context, normalization, uses_context
        )
        reference_row = rows.pop() if adds_reference else None
        encoded.append(
            EncodedList(
                nbest,
                distinct,
                tuple(range(len(distinct))),
                tuple(rows),
                errors,
                len(reference.split()),
                reference_row,
                _teacher_scores(nbest, distinct, teacher) if teacher else (),
            )
        )
    return encoded


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
