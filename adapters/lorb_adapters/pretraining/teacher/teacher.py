"""The teacher: pseudo-log-likelihoods by a masked LM, one mask at a time (RescoreBERT, arXiv 2202.01094).

    PLL(E) = sum_t log P_MLM(e_t | E without e_t)        natural log, over the tokens of the text, without special ones

A text of n tokens is read n times. Its copies are as long as it is, so that they pack without padding and attend in one
product; the vocabulary is multiplied with the masked tokens alone, one a copy.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_adapters.encoder.packing import pack
from lorb_adapters.pretraining.objectives.masked_lm import MaskedLm, MaskedRow, hide, packed_positions
from lorb_adapters.text import EncodedHypothesis

_MAX_TOKENS_PER_PASS = 4096


class Teacher:
    """A masked LM as it is now; what trains it later does not change it."""

    def __init__(self, model: MaskedLm) -> None:
        self._model = model
        self._encoder = PackedEncoder(model.base.encoder, compute_dtype=model.dtype)

    def log_probabilities(self, rows: Sequence[EncodedHypothesis], num_done: int = 0) -> Iterator[Tensor]:
        """Log P(e_t | E without e_t) of every text token of rows, row by row, in parts, [tokens of the part] fp32.

        num_done: begin behind so many values, where a part has ended; the parts are the same wherever one begins.
        """
        at = 0
        for copies in self._passes(rows):
            if at >= num_done:
                yield self._of(copies)
            at += len(copies)

    def _passes(self, rows: Sequence[EncodedHypothesis]) -> Iterator[list[MaskedRow]]:
        """Copies with one mask each, as many in a pass as have `_MAX_TOKENS_PER_PASS` tokens."""
        copies: list[MaskedRow] = []
        num_tokens = 0
        for row in rows:
            for position in self._model.text_positions(row):
                if copies and num_tokens + row.num_tokens > _MAX_TOKENS_PER_PASS:
                    yield copies
                    copies, num_tokens = [], 0
                copies.append(hide(row, [position], [self._model.mask_id]))
                num_tokens += row.num_tokens
        if copies:
            yield copies

    @torch.inference_mode()
    def _of(self, copies: Sequence[MaskedRow]) -> Tensor:
        base = self._model.base
        packed = pack([each.row for each in copies], first_position=base.first_position, device=base.device)
        logits = self._model.logits(self._encoder.forward(packed, [])[packed_positions(copies)])[: len(copies)]
        told = torch.tensor([each.told for each in copies], device=logits.device)
        return (logits.gather(1, told)[:, 0] - logits.logsumexp(1)).cpu()
