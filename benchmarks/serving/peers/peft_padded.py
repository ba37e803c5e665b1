"""peft's mixed batches (`adapter_names`) of padded hypotheses, in the given order or sorted by length."""

import time
from collections.abc import Callable, Sequence

import torch

from lorb_adapters.text import EncodedHypothesis, TextEncoder, TextNormalization
from peers.peer import Prepared
from peers.peft_model import ScoringPeftModel
from workload import TaggedList

BATCH_SIZES = (32, 64, 128)  # hypotheses; the fastest is taken


class PeftPadded:
    """Batches of a fixed number of hypotheses. Padding is timed, tokenisation is not, as for LoRB's engine."""

    def __init__(self, model: ScoringPeftModel, text_encoder: TextEncoder, *, sort_by_length: bool) -> None:
        self.batch_size = BATCH_SIZES[0]
        self._model = model
        self._text_encoder = text_encoder
        self._sort_by_length = sort_by_length

    def tune(self, lists: Sequence[TaggedList]) -> dict[int, float]:
        """Chooses the fastest of BATCH_SIZES on `lists`; returns the seconds of each."""
        seconds = {}
        self.prepare(lists[:4]).run()
        for self.batch_size in BATCH_SIZES:
            seconds[self.batch_size] = _seconds(self.prepare(lists).run)
        self.batch_size = min(seconds, key=lambda size: seconds[size])
        return seconds

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Tokenises the lists as LoRB does."""
        rows, domains = [], []
        for each in lists:
            encoded = self._text_encoder.encode(each.texts, "", TextNormalization(), uses_context=False)
            rows += encoded
            domains += [each.domain] * len(encoded)
        return Prepared(lambda: self._score(rows, domains), len(rows), sum(row.num_tokens for row in rows))

    def _score(self, rows: Sequence[EncodedHypothesis], domains: Sequence[int]) -> list[float]:
        order = list(range(len(rows)))
        if self._sort_by_length:
            order.sort(key=lambda i: rows[i].num_tokens)
        scores = [0.0] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            token_ids, mask = _padded([rows[i] for i in batch])
            for i, score in zip(
                batch, self._model.score_batch(token_ids, mask, [domains[i] for i in batch]), strict=True
            ):
                scores[i] = score
        return scores


def _padded(rows: Sequence[EncodedHypothesis]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, [rows, longest]; the padding token is 0 in BERT's vocabulary."""
    longest = max(row.num_tokens for row in rows)
    token_ids = torch.tensor([[*row.token_ids, *[0] * (longest - row.num_tokens)] for row in rows])
    mask = torch.tensor([[1] * row.num_tokens + [0] * (longest - row.num_tokens) for row in rows])
    return token_ids, mask


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
