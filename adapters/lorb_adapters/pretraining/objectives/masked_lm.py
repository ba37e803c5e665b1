"""Masked-LM training: an encoder learns a text by filling in what is hidden of it (Devlin et al., arXiv 1810.04805).

Of each sentence some tokens are to be told, at least one; 8 in 10 of them are replaced by the mask, 1 in 10 by any
token, and 1 stays as it is, so that the encoder has to know of each token it reads whether it belongs there.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.onednn import token_step_up
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.pretraining.objectives.masked_lm_head import BIAS, MaskedLmHead, log_frequencies, word_embeddings
from lorb_adapters.text import EncodedHypothesis

_MASK_NAMES = ("[MASK]", "<mask>")
_MASKED, _RANDOM = 0.8, 0.1
_UNTOLD = -100  # stands for no token


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """One sentence with some of its tokens hidden.

    Attributes:
        row: its tokens as the model reads them.
        positions: [hidden tokens] of the row, ascending.
        told: [hidden tokens] what stood there.
    """

    row: EncodedHypothesis
    positions: tuple[int, ...]
    told: tuple[int, ...]


def hide(row: EncodedHypothesis, positions: Sequence[int], written: Sequence[int]) -> MaskedRow:
    """The row with `written` at `positions`."""
    tokens = list(row.token_ids)
    for position, token in zip(positions, written, strict=True):
        tokens[position] = token
    told = tuple(row.token_ids[position] for position in positions)
    return MaskedRow(replace(row, token_ids=tuple(tokens)), tuple(positions), told)


class MaskedLm(EncoderTrainer):
    """An encoder that fills in masked tokens. Its head is no score head: it has no rescoring scores."""

    name = "masked LM"

    def __init__(self, base: Base, config: BuildConfig, head: MaskedLmHead) -> None:
        """Takes `base` over. Raises InvalidInput where it has no mask, or is none that can be trained."""
        self._mlm_head = head
        super().__init__(base, config)
        ids = [base.text_encoder.token_id(name) for name in _MASK_NAMES]
        found = [number for number in ids if number is not None]
        if not found:
            raise InvalidInput(
                f"base {base.name!r} has no token {' or '.join(_MASK_NAMES)}: use objective replaced", field="base"
            )
        self.mask_id = found[0]

    def begin(self, rows: Sequence[EncodedHypothesis]) -> None:
        """Lets a fresh head expect every token as often as it stands in `rows`."""
        if self._mlm_head.is_fresh:
            with torch.no_grad():
                self.tensors[BIAS].copy_(log_frequencies(rows, self.vocabulary_size))

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are."""
        return len(word_embeddings(self.base))

    def text_positions(self, row: EncodedHypothesis) -> range:
        """Positions of the text's own tokens, without special ones."""
        return range(row.scored_from, row.num_tokens - self.base.text_encoder.num_closing_tokens)

    def hide_some(self, row: EncodedHypothesis, share: float, rng: random.Random) -> MaskedRow:
        """The row with about `share` of its text's tokens to be told; none where it has no text."""
        there = self.text_positions(row)
        positions = [position for position in there if rng.random() < share]
        if not positions and there:
            positions = [rng.choice(there)]
        return hide(row, positions, [self._written(row.token_ids[position], rng) for position in positions])

    def loss(self, batch: Sequence[MaskedRow]) -> Tensor:
        """The mean of -log P(token) over the hidden tokens of rows sorted by length, nats."""
        told = torch.tensor([token for each in batch for token in each.told])
        logits = self.logits(self._hidden_states([each.row for each in batch])[packed_positions(batch)])
        told = functional.pad(told, (0, len(logits) - len(told)), value=_UNTOLD)
        return functional.cross_entropy(logits, told.to(logits.device), ignore_index=_UNTOLD)

    def logits(self, hidden: Tensor) -> Tensor:
        """[tokens, vocabulary] fp32, from the encoder's last hidden states of some tokens."""
        return self._mlm_head.logits(hidden, self.tensors, word_embeddings(self.base))

    def _hidden_states(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        return self._hidden(rows, self._pack(rows), None)

    def _written(self, token: int, rng: random.Random) -> int:
        drawn = rng.random()
        if drawn < _MASKED:
            return self.mask_id
        return rng.randrange(self.vocabulary_size) if drawn < _MASKED + _RANDOM else token

    def _fresh_head(self) -> dict[str, Tensor]:
        return {name: tensor.clone().to(self.base.device) for name, tensor in self._mlm_head.tensors.items()}


def packed_positions(rows: Sequence[MaskedRow]) -> Tensor:
    """Where the hidden tokens lie among the tokens of rows end to end, [hidden tokens].

    Zeros behind them make a length that many passes share: oneDNN compiles the product with the vocabulary for each.
    """
    positions, start = [], 0
    for each in rows:
        positions += [start + position for position in each.positions]
        start += each.row.num_tokens
    return functional.pad(torch.tensor(positions), (0, token_step_up(len(positions)) - len(positions)))
