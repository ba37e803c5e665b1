"""Masked-LM training (Devlin et al., arXiv 1810.04805): an encoder learns to predict masked tokens of a text.

At least one token of each sentence is selected for prediction. Of the selected tokens, 80% are replaced by the mask
token, 10% by a random token, and 10% stay unchanged.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.onednn import padded_length
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.pretraining.objectives.masked_lm_head import BIAS, MaskedLmHead, log_frequencies, word_embeddings
from lorb_adapters.text import EncodedHypothesis

_MASK_TOKENS = ("[MASK]", "<mask>")
_MASKED_SHARE, _RANDOM_SHARE = 0.8, 0.1
_NO_TARGET = -100


@dataclass(frozen=True, slots=True)
class MaskedExample:
    """A sentence with some of its tokens selected for prediction.

    Attributes:
        encoded: tokens of the sentence, after replacement.
        positions: positions of the selected tokens in the sentence, ascending.
        targets: the original tokens at `positions`.
    """

    encoded: EncodedHypothesis
    positions: tuple[int, ...]
    targets: tuple[int, ...]


def mask_tokens(encoded: EncodedHypothesis, positions: Sequence[int], replacements: Sequence[int]) -> MaskedExample:
    """The sentence with `replacements` at `positions`."""
    tokens = list(encoded.token_ids)
    for position, token in zip(positions, replacements, strict=True):
        tokens[position] = token
    targets = tuple(encoded.token_ids[position] for position in positions)
    return MaskedExample(replace(encoded, token_ids=tuple(tokens)), tuple(positions), targets)


class MaskedLm(EncoderTrainer):
    """An encoder that predicts masked tokens. Its head is a masked-LM head, so it has no rescoring scores."""

    def __init__(self, base: Base, config: BuildConfig, head: MaskedLmHead) -> None:
        """Trains `base` in place. Raises InvalidInput if `base` has no mask token, or its encoder cannot be trained."""
        self._mlm_head = head
        super().__init__(base, config)
        ids = [base.text_encoder.token_id(token) for token in _MASK_TOKENS]
        found = [number for number in ids if number is not None]
        if not found:
            raise InvalidInput(
                f"base {base.name!r} has no token {' or '.join(_MASK_TOKENS)}: use objective replaced", field="base"
            )
        self.mask_id = found[0]

    def initialize_bias(self, rows: Sequence[EncodedHypothesis]) -> None:
        """Sets the bias of an untrained head to the log-frequency of each token in `rows`."""
        if self._mlm_head.is_untrained:
            with torch.no_grad():
                self.tensors[BIAS].copy_(log_frequencies(rows, self.vocabulary_size))

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens in the vocabulary."""
        return len(word_embeddings(self.base))

    def text_positions(self, encoded: EncodedHypothesis) -> range:
        """Positions of the text's tokens, without special tokens."""
        return range(encoded.scored_from, encoded.num_tokens - self.base.text_encoder.num_closing_tokens)

    def mask_random_tokens(self, encoded: EncodedHypothesis, share: float, rng: random.Random) -> MaskedExample:
        """Selects about `share` of the text's tokens, at least one, and replaces them; an empty text stays empty."""
        candidates = self.text_positions(encoded)
        positions = [position for position in candidates if rng.random() < share]
        if not positions and candidates:
            positions = [rng.choice(candidates)]
        return mask_tokens(encoded, positions, [self._replacement(encoded.token_ids[at], rng) for at in positions])

    def loss(self, batch: Sequence[MaskedExample]) -> Tensor:
        """The mean of -log P(target) over masked tokens, nats. batch: sorted by length."""
        rows = [each.encoded for each in batch]
        hidden = self._hidden_states(rows, self._pack(rows), None)
        logits = self.logits(hidden[masked_positions(batch)])
        targets = torch.tensor([token for each in batch for token in each.targets])
        targets = functional.pad(targets, (0, len(logits) - len(targets)), value=_NO_TARGET)
        return functional.cross_entropy(logits, targets.to(logits.device), ignore_index=_NO_TARGET)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits, [tokens, vocabulary] fp32. hidden: output of the encoder's last layer, [tokens, hidden]."""
        return self._mlm_head.logits(hidden, self.tensors, word_embeddings(self.base))

    def _replacement(self, token: int, rng: random.Random) -> int:
        drawn = rng.random()
        if drawn < _MASKED_SHARE:
            return self.mask_id
        return rng.randrange(self.vocabulary_size) if drawn < _MASKED_SHARE + _RANDOM_SHARE else token

    def _initial_head(self) -> dict[str, Tensor]:
        return {name: tensor.clone().to(self.base.device) for name, tensor in self._mlm_head.tensors.items()}


def masked_positions(examples: Sequence[MaskedExample]) -> Tensor:
    """Positions of the masked tokens among the packed tokens of all examples, padded with zeros.

    Padding makes many forward passes share a length: oneDNN compiles the vocabulary product for each new length.
    """
    positions, start = [], 0
    for each in examples:
        positions += [start + position for position in each.positions]
        start += each.encoded.num_tokens
    return functional.pad(torch.tensor(positions), (0, padded_length(len(positions)) - len(positions)))
