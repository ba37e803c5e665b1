"""The N-best list: what a recogniser thinks was said, best first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One transcription. Raises InvalidInput where a score is not finite.

    Attributes:
        transcript: the words as the recogniser wrote them; may be empty.
        first_pass_score: natural log, higher is better; None where the recogniser gives none.
        component_scores: parts of the score by name (acoustic, lm, ...), carried along, never used.
    """

    transcript: str
    first_pass_score: float | None = None
    component_scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.first_pass_score is not None and not math.isfinite(self.first_pass_score):
            raise InvalidInput(
                f"first_pass_score is {self.first_pass_score}: send a finite natural-log score, "
                "or none on any hypothesis of the list",
                field="first_pass_score",
            )
        for name, score in self.component_scores.items():
            if not math.isfinite(score):
                raise InvalidInput(
                    f"component_scores[{name[:64]!r}] is {score}: send finite scores or leave it out",
                    field="component_scores",
                )


@dataclass(frozen=True, slots=True)
class DistinctHypothesis:
    """One text of a list with all its copies.

    Attributes:
        transcript: the text, as first written.
        first_pass_score: the best of the copies' scores, or None in a list without scores.
        positions: where it stands in the list, ascending; the first one stands for all.
    """

    transcript: str
    first_pass_score: float | None
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NBest:
    """One list, in first-pass order. Raises InvalidInput where it is empty or only partly scored.

    Attributes:
        hypotheses: best first.
        id: the utterance's or request's name; any text.
        context: the preceding turn; empty if there is none.
        reference: what was truly said; None outside training and evaluation.
        domain: where the utterance comes from, as its file says; empty if it does not.
    """

    hypotheses: tuple[Hypothesis, ...]
    id: str = ""
    context: str = ""
    reference: str | None = None
    domain: str = ""

    def __post_init__(self) -> None:
        if not self.hypotheses:
            raise InvalidInput("hypotheses is empty: send at least one hypothesis", field="hypotheses")
        unscored = [i for i, h in enumerate(self.hypotheses) if h.first_pass_score is None]
        if unscored and len(unscored) != len(self.hypotheses):
            place = f"hypotheses[{unscored[0]}].first_pass_score"
            raise InvalidInput(
                f"{place} is missing while other hypotheses have one: score all of a list or none",
                field=place,
            )

    @property
    def has_scores(self) -> bool:
        """Whether the recogniser scored the list."""
        return self.hypotheses[0].first_pass_score is not None

    def check_limits(self, *, max_hypotheses: int, max_transcript_chars: int) -> None:
        """Raises InvalidInput where the list, a transcript or the context is larger than the server takes."""
        if len(self.hypotheses) > max_hypotheses:
            raise InvalidInput(
                f"hypotheses has {len(self.hypotheses)} entries, this server takes {max_hypotheses}",
                field="hypotheses",
            )
        for i, hypothesis in enumerate(self.hypotheses):
            if len(hypothesis.transcript) > max_transcript_chars:
                raise InvalidInput(
                    f"hypotheses[{i}].transcript has {len(hypothesis.transcript)} characters, "
                    f"this server takes {max_transcript_chars}",
                    field=f"hypotheses[{i}].transcript",
                )
        if len(self.context) > max_transcript_chars:
            raise InvalidInput(
                f"context has {len(self.context)} characters, this server takes {max_transcript_chars}",
                field="context",
            )

    def distinct(self) -> tuple[DistinctHypothesis, ...]:
        """The list's texts, each once with its best score, in first-pass order (ties keep the list's order).

        Texts are equal when they differ in white space alone.
        """
        positions: dict[str, list[int]] = {}
        for i, hypothesis in enumerate(self.hypotheses):
            positions.setdefault(" ".join(hypothesis.transcript.split()), []).append(i)
        distinct = [
            DistinctHypothesis(self.hypotheses[at[0]].transcript, self._best_score(at), tuple(at))
            for at in positions.values()
        ]
        if self.has_scores:
            distinct.sort(key=lambda each: -_known(each.first_pass_score))
        return tuple(distinct)

    def _best_score(self, positions: Sequence[int]) -> float | None:
        if not self.has_scores:
            return None
        return max(_known(self.hypotheses[i].first_pass_score) for i in positions)


def _known(score: float | None) -> float:
    if score is None:  # NBest has checked that a list is scored wholly or not at all
        raise InvalidInput("a scored list holds a hypothesis without score", field="first_pass_score")
    return score
