"""Checks that a loaded adapter reproduces its trainer's scores of the golden lists."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lorb.errors import InvalidAdapter
from lorb_adapters.store.adapter import Adapter
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.text import TextEncoder

if TYPE_CHECKING:  # transformers takes seconds to import
    from lorb_adapters.model import RescoringModel

# For fp32, relative to the list's largest absolute score. Machines add numbers in different orders, so that the
# last digits of scores differ.
_RELATIVE_TOLERANCE = 1e-4
_ABSOLUTE_TOLERANCE = 1e-5  # for a list whose scores are all near 0
_CLEAR_GAP = 0.05  # for bf16 and fp16, relative to the largest absolute score; closer scores may swap ranks


def check_golden_scores(adapter: Adapter, model: "RescoringModel", text_encoder: TextEncoder) -> None:
    """Scores the golden lists. Raises InvalidAdapter, which names the list, if the scores are not the trainer's.

    In fp32, a score may differ from the trainer's by 1e-5 plus 1e-4 times the list's largest absolute score. In other
    dtypes only the order is compared: two hypotheses must keep their order if the trainer's scores of them differ by
    more than 0.05 times the list's largest absolute score. Call this function on the thread that owns the model.
    """
    for position, golden in enumerate(adapter.manifest.golden_lists):
        scores = _score(golden, adapter, model, text_encoder)
        place = f"golden_lists[{position}] ({golden.id[:64]!r})"
        if _dtype(adapter, model) == torch.float32:
            _check_equal(place, golden.rescoring_scores, scores)
        else:
            _check_order(place, golden.rescoring_scores, scores)


def _score(golden: GoldenList, adapter: Adapter, model: "RescoringModel", text_encoder: TextEncoder) -> list[float]:
    """Returns the rescoring scores of the list's distinct texts, in the texts' order."""
    manifest = adapter.manifest
    texts = [hypothesis.transcript for hypothesis in golden.nbest.distinct()]
    rows = text_encoder.encode(texts, golden.context, manifest.normalization, manifest.uses_context)
    scores: list[float] = model.score(rows, [adapter.weights], [0] * len(rows)).tolist()
    return scores


def _dtype(adapter: Adapter, model: "RescoringModel") -> torch.dtype:
    for a, _ in adapter.weights.lora.values():
        return a.dtype
    return model.base.dtype


def _check_equal(place: str, expected: Sequence[float], scores: Sequence[float]) -> None:
    tolerance = _RELATIVE_TOLERANCE * max(map(abs, expected)) + _ABSOLUTE_TOLERANCE
    for i, (expected_score, score) in enumerate(zip(expected, scores, strict=True)):
        if not abs(expected_score - score) <= tolerance:  # `>` would accept NaN
            raise InvalidAdapter(
                f"{place}: hypothesis {i} scores {score:.6g}, but the trainer found {expected_score:.6g}",
                field="golden_lists",
            )


def _check_order(place: str, expected: Sequence[float], scores: Sequence[float]) -> None:
    clear_gap = _CLEAR_GAP * max(map(abs, expected))
    for i, higher in enumerate(expected):
        for j, lower in enumerate(expected):
            if higher - lower > clear_gap and not scores[i] > scores[j]:
                raise InvalidAdapter(
                    f"{place}: hypothesis {i} no longer scores above hypothesis {j} "
                    f"({scores[i]:.4g} against {scores[j]:.4g}, the trainer found {higher:.4g} against {lower:.4g})",
                    field="golden_lists",
                )
