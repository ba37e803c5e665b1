"""N-best lists: the hypotheses of one utterance, best first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lorb.errors import InvalidInput

MAX_COMPONENT_SCORES = 64  # of a hypothesis in a request; the decoders of docs/train/formats.md give up to three


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One transcription of an utterance. Raises InvalidInput if a score is not finite.

    Attributes:
        transcript: the words as the recogniser wrote them; may be empty.
        first_pass_score: the recogniser's score, a natural log, higher is better; None if it gives no score.
        component_scores: parts of the first-pass score by name (acoustic, lm, ...). They are not used, only returned.
            A request holds at most 64 for each hypothesis.
    """

    transcript: str
    first_pass_score: float | None = None
    component_scores: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.first_pass_score is not None and not math.isfinite(self.first_pass_score):
            raise InvalidInput(
                f"first_pass_score is {self.first_pass_score}: send a finite natural-log score, "
                "or no score on any hypothesis of the list",
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
    """One distinct text of a list, with the positions of all its copies.

    Attributes:
        transcript: the text of the first copy.
        first_pass_score: the highest score of the copies; None in a list without scores.
        positions: positions of the copies in the list, ascending, from 0.
    """

    transcript: str
    first_pass_score: float | None
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NBest:
    """The hypotheses of one utterance. Raises InvalidInput if the list is empty or only some hypotheses have scores.

    Attributes:
        hypotheses: the hypotheses in first-pass order, best first.
        id: id of the utterance or request; any text.
        context: the preceding turn of the dialogue; empty if there is none.
        reference: the reference transcript; None outside training and evaluation.
        domain: the domain that the file gives; empty if the file gives no domain.
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
                f"{place} is missing while other hypotheses have one: score all hypotheses of a list or none",
                field=place,
            )

    @property
    def has_scores(self) -> bool:
        """Whether the hypotheses have first-pass scores."""
        return self.hypotheses[0].first_pass_score is not None

    @property
    def first_pass_text(self) -> str:
        """The recogniser's choice: the text with the highest score, or the first text in a list without scores.

        If several texts have the highest score, it is the first of them.
        """
        return self.distinct()[0].transcript

    def check_limits(self, *, max_hypotheses: int, max_transcript_chars: int) -> None:
        """Checks the list against a server's limits and MAX_COMPONENT_SCORES.

        Raises InvalidInput if a field exceeds its limit.
        """
        if len(self.hypotheses) > max_hypotheses:
            raise InvalidInput(
                f"hypotheses has {len(self.hypotheses)} entries: this server accepts at most {max_hypotheses}",
                field="hypotheses",
            )
        for i, hypothesis in enumerate(self.hypotheses):
            if len(hypothesis.transcript) > max_transcript_chars:
                raise InvalidInput(
                    f"hypotheses[{i}].transcript has {len(hypothesis.transcript)} characters: "
                    f"this server accepts at most {max_transcript_chars}",
                    field=f"hypotheses[{i}].transcript",
                )
            if len(hypothesis.component_scores) > MAX_COMPONENT_SCORES:
                raise InvalidInput(
                    f"hypotheses[{i}].component_scores has {len(hypothesis.component_scores)} entries: "
                    f"send at most {MAX_COMPONENT_SCORES}",
                    field=f"hypotheses[{i}].component_scores",
                )
        if len(self.context) > max_transcript_chars:
            raise InvalidInput(
                f"context has {len(self.context)} characters: this server accepts at most {max_transcript_chars}",
                field="context",
            )

    def distinct(self) -> tuple[DistinctHypothesis, ...]:
        """Returns each distinct text once, with the highest score of its copies, sorted by that score.

        Texts that differ only in white space count as equal. Texts with equal scores keep their order in the list. So
        do all texts of a list without scores.
        """
        positions: dict[str, list[int]] = {}
        for i, hypothesis in enumerate(self.hypotheses):
            positions.setdefault(" ".join(hypothesis.transcript.split()), []).append(i)
        distinct = [
            DistinctHypothesis(self.hypotheses[copies[0]].transcript, self._best_score(copies), tuple(copies))
            for copies in positions.values()
        ]
        if self.has_scores:
            distinct.sort(key=lambda hypothesis: -_require_score(hypothesis.first_pass_score))
        return tuple(distinct)

    def _best_score(self, positions: Sequence[int]) -> float | None:
        if not self.has_scores:
            return None
        return max(_require_score(self.hypotheses[i].first_pass_score) for i in positions)


def _require_score(score: float | None) -> float:
    if score is None:  # cannot happen: NBest checks that all hypotheses have scores or none
        raise InvalidInput("a list with scores has a hypothesis without a score", field="first_pass_score")
    return score
