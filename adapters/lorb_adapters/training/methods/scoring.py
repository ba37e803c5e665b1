"""Scores lists in forward passes of bounded size."""

from collections.abc import Callable, Iterator, Sequence

import torch

from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.data.encoded_lists import EncodedList

MAX_TOKENS_PER_PASS = 8192


def score_lists(model: RescoringModel, adapter: AdapterWeights, lists: Sequence[EncodedList]) -> Iterator[list[float]]:
    """Yields the rescoring scores of each list's distinct hypotheses, natural log scale, with the server's model."""
    return score_in_passes(lambda rows: model.score(rows, [adapter], [0] * len(rows)), lists)


def score_in_passes(
    score: Callable[[Sequence[EncodedHypothesis]], torch.Tensor], lists: Sequence[EncodedList]
) -> Iterator[list[float]]:
    """Yields the scores of each list's rows, computed by `score` for several lists at once.

    score: takes rows in any order; returns their scores, [rows], fp32, on the CPU.
    """
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
