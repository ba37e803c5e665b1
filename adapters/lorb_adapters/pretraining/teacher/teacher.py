"""Computes pseudo-log-likelihoods (PLL) with a masked LM, one masked token at a time (arXiv 2202.01094).

    PLL(E) = sum_t log P_MLM(e_t | E without e_t)        natural log, over the text's tokens without special tokens

A text of n tokens is read n times, each copy with another token masked. The copies have equal lengths, so they are
packed without padding and share one attention product. Logits are computed for the masked token of each copy only.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.packing import pack
from lorb_adapters.pretraining.objectives.masked_lm import MaskedExample, MaskedLm, mask_tokens, masked_positions
from lorb_adapters.text import EncodedHypothesis

_MAX_TOKENS_PER_PASS = 4096


class Teacher:
    """A masked LM that scores texts. Its model must not be trained while the teacher is in use."""

    def __init__(self, model: MaskedLm) -> None:
        self._model = model
        self._encoder = PackedEncoder(model.base.encoder, compute_dtype=model.dtype)

    def log_probabilities(self, rows: Sequence[EncodedHypothesis], num_done: int = 0) -> Iterator[Tensor]:
        """Yields vectors in fp32: together, log P(e_t | E without e_t) of every text token, row after row.

        num_done: number of values to skip; it must be the total length of the first few vectors. The vectors after
            these do not change.
        """
        start = 0
        for copies in self._passes(rows):
            if start >= num_done:
                yield self._score(copies)
            start += len(copies)

    def _passes(self, rows: Sequence[EncodedHypothesis]) -> Iterator[list[MaskedExample]]:
        """Yields the copies of each forward pass: up to `_MAX_TOKENS_PER_PASS` tokens, or one longer copy."""
        copies: list[MaskedExample] = []
        num_tokens = 0
        for row in rows:
            for position in self._model.text_positions(row):
                if copies and num_tokens + row.num_tokens > _MAX_TOKENS_PER_PASS:
                    yield copies
                    copies, num_tokens = [], 0
                copies.append(mask_tokens(row, [position], [self._model.mask_id]))
                num_tokens += row.num_tokens
        if copies:
            yield copies

    @torch.inference_mode()
    def _score(self, copies: Sequence[MaskedExample]) -> Tensor:
        """Log-probability of each copy's masked token, [copies] fp32 on the CPU."""
        base = self._model.base
        packed = pack([each.encoded for each in copies], first_position=base.first_position, device=base.device)
        hidden = self._encoder.forward(packed, [])[masked_positions(copies)]
        logits = self._model.logits(hidden)[: len(copies)]
        targets = torch.tensor([each.targets for each in copies], device=logits.device)
        return (logits.gather(1, targets)[:, 0] - logits.logsumexp(1)).cpu()
