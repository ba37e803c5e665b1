"""Measures how well teacher and student separate true from corrupted sentences, and how well their scores agree."""

import math

import torch
from msgspec import Struct, field, to_builtins
from torch import Tensor


class DistillationMetrics(Struct, frozen=True):
    """Figures on held-out sentences and a corrupted copy of each.

    Attributes:
        num_distilled: sentences whose teacher scores the student was trained on.
        num_hypotheses: number of these sentences that are hypotheses of the lists.
        pairs: pairs of a sentence and its corrupted copy.
        teacher_pairs: pairs in which the teacher's PLL is higher for the true sentence.
        student_pairs: pairs in which the student's score is higher for the true sentence.
        correlation: Pearson correlation of student scores and PLL over all sentences and copies; 0 if undefined.
        pseudo_perplexity: pseudo-perplexity of the true sentences, exp(-sum of PLL / number of tokens).
    """

    num_distilled: int = field(name="num_learnt")
    num_hypotheses: int
    pairs: int
    teacher_pairs: int
    student_pairs: int
    correlation: float
    pseudo_perplexity: float

    @classmethod
    def measure(
        cls,
        teacher: tuple[Tensor, Tensor],
        student: tuple[Tensor, Tensor],
        *,
        num_tokens: int,
        num_distilled: int,
        num_hypotheses: int,
    ) -> "DistillationMetrics":
        """Computes the figures.

        teacher, student: scores of the true sentences, [pairs], and of their corrupted copies, [pairs], natural log.
        num_tokens: number of tokens of the true sentences, without special tokens.
        """
        both = torch.stack([torch.cat(teacher), torch.cat(student)]).double()
        correlation = float(torch.corrcoef(both)[0, 1])
        return cls(
            num_distilled,
            num_hypotheses,
            pairs=len(teacher[0]),
            teacher_pairs=int((teacher[0] > teacher[1]).sum()),
            student_pairs=int((student[0] > student[1]).sum()),
            correlation=correlation if math.isfinite(correlation) else 0.0,
            pseudo_perplexity=math.exp(-float(teacher[0].double().sum()) / max(1, num_tokens)),
        )

    def to_json(self) -> dict[str, dict[str, float]]:
        """The figures for report.json."""
        return {"fidelity": to_builtins(self)}

    def table(self) -> tuple[str, list[tuple[str, str]]]:
        """A title, and the name and text of each figure, for report.md."""
        pairs = max(1, self.pairs)
        return "Teacher and student on held-out sentences", [
            ("sentences that the teacher scored for the student", f"{self.num_distilled:,}"),
            ("hypotheses of the lists among these", f"{self.num_hypotheses:,}"),
            ("pairs of a sentence and a corrupted copy", f"{self.pairs:,}"),
            ("true sentence preferred by the teacher", f"{100 * self.teacher_pairs / pairs:.1f}%"),
            ("true sentence preferred by the student", f"{100 * self.student_pairs / pairs:.1f}%"),
            ("correlation of student and teacher scores", f"{self.correlation:.3f}"),
            ("pseudo-perplexity of the true sentences, per token", f"{self.pseudo_perplexity:,.1f}"),
        ]
