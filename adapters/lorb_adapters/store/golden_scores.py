"""Checks that a loaded adapter reproduces its trainer's scores of the golden lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lorb.errors import InvalidAdapter
from lorb_adapters.store.adapter import Adapter
from lorb_adapters.text import EncodedHypothesis, TextEncoder

if TYPE_CHECKING:  # transformers takes seconds to import
    from lorb_adapters.model import RescoringModel

# For fp32, relative to the list's largest absolute score. Machines add numbers in different orders, so that the
# last digits of scores differ.
_RELATIVE_TOLERANCE = 1e-4
_ABSOLUTE_TOLERANCE = 1e-5  # for a list whose scores are all near 0
_CLEAR_GAP = 0.05  # for bf16 and fp16, relative to the largest absolute score; closer scores may swap ranks


@dataclass(frozen=True, slots=True)
class GoldenHypotheses:
    """Hypotheses of one golden list, with the trainer's scores.

    Attributes:
        place: the list's place in the manifest, and its id.
        rows: the hypotheses as the model reads them.
        numbers: for each row, the number of its text among the list's distinct texts.
        expected: for each row, the trainer's rescoring score; natural log, higher is better.
        scale: the largest absolute score of the list.
        dtype: the number format in which the server computes.
    """

    place: str
    rows: Sequence[EncodedHypothesis]
    numbers: Sequence[int]
    expected: Sequence[float]
    scale: float
    dtype: torch.dtype

    def check(self, scores: Sequence[float]) -> None:
        """Raises InvalidAdapter, which names the list, if `scores`, one for each row, are not the trainer's.

        In fp32, a score may differ from the trainer's by 1e-5 plus 1e-4 times `scale`. In other dtypes only the order
        is compared: two hypotheses must keep their order if the trainer's scores differ by more than 0.05 times
        `scale`.
        """
        if self.dtype == torch.float32:
            self._check_equal(scores)
        else:
            self._check_order(scores)

    def _check_equal(self, scores: Sequence[float]) -> None:
        tolerance = _RELATIVE_TOLERANCE * self.scale + _ABSOLUTE_TOLERANCE
        for number, expected, score in zip(self.numbers, self.expected, scores, strict=True):
            if not abs(expected - score) <= tolerance:  # `>` would accept NaN
                raise InvalidAdapter(
                    f"{self.place}: hypothesis {number} scores {score:.6g}, but the trainer found {expected:.6g}",
                    field="golden_lists",
                )

    def _check_order(self, scores: Sequence[float]) -> None:
        clear_gap = _CLEAR_GAP * self.scale
        for i, higher in enumerate(self.expected):
            for j, lower in enumerate(self.expected):
                if higher - lower > clear_gap and not scores[i] > scores[j]:
                    raise InvalidAdapter(
                        f"{self.place}: hypothesis {self.numbers[i]} no longer scores above hypothesis "
                        f"{self.numbers[j]} ({scores[i]:.4g} against {scores[j]:.4g}, the trainer found {higher:.4g} "
                        f"against {lower:.4g})",
                        field="golden_lists",
                    )


def golden_hypotheses(
    adapter: Adapter, text_encoder: TextEncoder, base_dtype: torch.dtype, max_per_list: int | None = None
) -> Iterator[GoldenHypotheses]:
    """Yields the hypotheses of each golden list in turn, encoded.

    With `max_per_list`, at least 2, a longer list is represented by the hypotheses with the trainer's highest and
    lowest scores, and by others evenly between them in the order of the scores.
    """
    manifest = adapter.manifest
    for position, golden in enumerate(manifest.golden_lists):
        texts = [hypothesis.transcript for hypothesis in golden.nbest.distinct()]
        numbers = _spread(golden.rescoring_scores, max_per_list or len(texts))
        rows = text_encoder.encode(
            [texts[i] for i in numbers], golden.context, manifest.normalization, manifest.uses_context
        )
        yield GoldenHypotheses(
            place=f"golden_lists[{position}] ({golden.id[:64]!r})",
            rows=rows,
            numbers=numbers,
            expected=[golden.rescoring_scores[i] for i in numbers],
            scale=max(map(abs, golden.rescoring_scores)),
            dtype=_dtype(adapter, base_dtype),
        )


def check_golden_scores(adapter: Adapter, model: "RescoringModel", text_encoder: TextEncoder) -> None:
    """Scores all hypotheses of the golden lists.

    Raises InvalidAdapter, which names the list, if the scores are not the trainer's: see `GoldenHypotheses.check`.
    Call this function on the thread that owns the model.
    """
    for golden in golden_hypotheses(adapter, text_encoder, model.base.dtype):
        golden.check(model.score(golden.rows, [adapter.weights], [0] * len(golden.rows)).tolist())


def _spread(scores: Sequence[float], count: int) -> list[int]:
    """The positions, in order, of `count` of the scores: the highest, the lowest, and others evenly between them."""
    if len(scores) <= count:
        return list(range(len(scores)))
    by_score = sorted(range(len(scores)), key=scores.__getitem__)
    return sorted(by_score[round(i * (len(scores) - 1) / (count - 1))] for i in range(count))


def _dtype(adapter: Adapter, base_dtype: torch.dtype) -> torch.dtype:
    for a, _ in adapter.weights.lora.values():
        return a.dtype
    return base_dtype
