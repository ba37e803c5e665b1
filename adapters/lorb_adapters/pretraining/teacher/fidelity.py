"""How well a teacher tells true sentences from corrupted ones, and what of it its student keeps."""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fidelity:
    """On held-out sentences and a corrupted copy of each.

    Attributes:
        num_learnt: sentences that the teacher judged for the student.
        num_hypotheses: of these, hypotheses of the lists.
        pairs: of a sentence and its copy.
        teacher_pairs: in which PLL is higher for the true one.
        student_pairs: in which the student's score is.
        correlation: Pearson's, of the student's scores and PLL over all sentences and copies; 0 where one is constant.
        pseudo_perplexity: of the true sentences: exp(-sum PLL / tokens).
    """

    num_learnt: int
    num_hypotheses: int
    pairs: int
    teacher_pairs: int
    student_pairs: int
    correlation: float
    pseudo_perplexity: float

    @classmethod
    def measure(
        cls, teacher: tuple[Tensor, Tensor], student: tuple[Tensor, Tensor], num_tokens: int, learnt: tuple[int, int]
    ) -> "Fidelity":
        """Scores of the true sentences and of their copies, [pairs] each, natural log.

        num_tokens: of the true sentences' texts. learnt: `num_learnt` and `num_hypotheses`.
        """
        both = torch.stack([torch.cat(teacher), torch.cat(student)]).double()
        correlation = float(torch.corrcoef(both)[0, 1])
        return cls(
            *learnt,
            pairs=len(teacher[0]),
            teacher_pairs=int((teacher[0] > teacher[1]).sum()),
            student_pairs=int((student[0] > student[1]).sum()),
            correlation=correlation if math.isfinite(correlation) else 0.0,
            pseudo_perplexity=math.exp(-float(teacher[0].double().sum()) / max(1, num_tokens)),
        )

    def to_json(self) -> dict[str, dict[str, float]]:
        """The figures by name, under the measurement's own."""
        return {"fidelity": asdict(self)}

    def table(self) -> tuple[str, list[tuple[str, str]]]:
        """A title, and the figures as people read them."""
        pairs = max(1, self.pairs)
        return "Teacher and student on held-out sentences", [
            ("sentences that the teacher judged for the student", f"{self.num_learnt:,}"),
            ("of these, hypotheses of the lists", f"{self.num_hypotheses:,}"),
            ("pairs of a sentence and a corrupted copy", f"{self.pairs:,}"),
            ("true one preferred by the teacher", f"{100 * self.teacher_pairs / pairs:.1f}%"),
            ("true one preferred by the student", f"{100 * self.student_pairs / pairs:.1f}%"),
            ("correlation of the student's scores with the teacher's", f"{self.correlation:.3f}"),
            ("pseudo-perplexity of the true ones, a token", f"{self.pseudo_perplexity:,.1f}"),
        ]
