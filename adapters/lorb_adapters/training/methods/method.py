"""What every way of training has: named tensors to train, features and scores from them, and how to keep them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.packing import PackedRows, pack
from lorb_adapters.lora import head
from lorb_adapters.lora.head import SUM, HeadWeights
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList, score_in_passes
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks, TrainingEncoder
from lorb_adapters.training.encoder.layer_cache import LayerCache
from lorb_adapters.training.encoder.precision import product_dtype

# Trained values by name.
Tensors = Mapping[str, Tensor]
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"


class Method(ABC):
    """A way of training. Its `tensors` are the leaves that an optimiser moves.

    Attributes:
        name: as `--method` has it.
        trains_encoder: whether the encoder's own parameters change.
        caches_tokens: whether the cache has a vector for each token of a row, or one for the row.
        tensors: everything trained, by name, fp32, in a fixed order, the head's last.
        cache: what the layers below the lowest trained one give for each row, where that is kept on disk.
    """

    name: ClassVar[str]
    trains_encoder: ClassVar[bool] = False
    caches_tokens: ClassVar[bool] = True

    def __init__(self, base: Base, config: TrainConfig) -> None:
        """Takes `base` over. Raises InvalidInput where it has no such layers, or is none this method can train."""
        self.base, self.config = base, config
        self.cache: LayerCache | None = None
        self.dtype = product_dtype(config.precision, base.device)
        generator = torch.Generator().manual_seed(config.seed)
        self.encoder = self._training_encoder()
        self.tensors = dict(self._fresh_tensors(generator)) | self._fresh_head()
        for tensor in self.tensors.values():
            tensor.requires_grad_(True)

    @abstractmethod
    def _fresh_tensors(self, generator: torch.Generator) -> Tensors:
        """What is trained beside the head, as training begins, fp32 on the base's device."""

    def _additions(self, dropout: Dropout | None) -> LayerHooks:
        """What it adds to the base in a pass."""
        return LayerHooks()

    @property
    def lowest_layer(self) -> int:
        """The first layer whose output training changes; its input is the same for a row in every step."""
        return self._layers[0]

    @property
    def num_trained(self) -> int:
        """Trained parameters, the head's included."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def forward(self, rows: Sequence[EncodedHypothesis], dropout: Dropout | None) -> tuple[Tensor, Tensor]:
        """Features that the head reads, before dropout, [rows, hidden], and rescoring scores, [rows]; fp32.

        With gradients to `tensors`; in the order of `rows`, which is best sorted by length.
        """
        packed = self._pack(rows)
        features = self._features(rows, packed, dropout)
        read = features if dropout is None else dropout(features)
        return features, head.scores(read, packed, self.head)

    def scores(self, tensors: Tensors, lists: Sequence[ReferencedList]) -> list[list[float]]:
        """Rescoring scores of every distinct hypothesis of each list by `tensors`, without dropout."""
        with self._holding(tensors):
            return list(score_in_passes(self._score, lists))

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of what is trained as it is now."""
        return {name: tensor.detach().clone() for name, tensor in self.tensors.items()}

    def restore(self, tensors: Tensors) -> None:
        """Sets what is trained to `tensors`."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(tensors[name])

    def below(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """What the cache keeps of rows, sorted by length: vectors end to end."""
        return self._below(rows, self._pack(rows))

    def _features(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        hidden = self._hidden(rows, packed, dropout)
        return head.features(hidden, packed, self.config.head)

    def _hidden(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        """The encoder's last hidden states, [tokens, hidden]."""
        layers = range(self.lowest_layer, self.encoder.num_layers)
        return self.encoder.forward(packed, self._below(rows, packed), layers, self._additions(dropout))

    def _below(self, rows: Sequence[EncodedHypothesis], packed: PackedRows) -> Tensor:
        """What the lowest trained layer reads, [tokens, hidden]."""
        if self.cache is not None and self.cache.holds(rows):
            return self.cache.vectors(rows).to(self.base.device, self.dtype)
        return self.encoder.forward(packed, self.encoder.embed(packed), range(self.lowest_layer), LayerHooks())

    @torch.inference_mode()
    def _score(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Scores of rows in any order, [rows] fp32 on the CPU."""
        by_length = sorted(range(len(rows)), key=lambda i: rows[i].num_tokens)
        _, scores = self.forward([rows[i] for i in by_length], None)
        return torch.empty(len(rows)).index_copy_(0, torch.tensor(by_length), scores.float().cpu())

    @contextmanager
    def _holding(self, tensors: Tensors) -> Iterator[None]:
        kept = self.snapshot()
        self.restore(tensors)
        try:
            yield
        finally:
            self.restore(kept)

    @property
    def _layers(self) -> tuple[int, ...]:
        """Numbers of the layers that may change."""
        return self.config.lora.layers or tuple(range(self.encoder.num_layers))

    def _training_encoder(self) -> TrainingEncoder:
        if not TrainingEncoder.supports(self.base.encoder):
            raise InvalidInput(
                f"base {self.base.name!r} is no stack of BERT encoder layers: nothing can be trained on it",
                field="base",
            )
        encoder = TrainingEncoder(self.base.encoder, self.dtype, trains_encoder=self.trains_encoder)
        check_layers(self.config.lora.layers, encoder.num_layers)
        return encoder

    def _pack(self, rows: Sequence[EncodedHypothesis]) -> PackedRows:
        return pack(rows, first_position=self.base.first_position, device=self.base.device)

    @property
    def head(self) -> HeadWeights:
        """The score head as it is now."""
        made = head_of(self.tensors, self.config.head)
        if made.kind == SUM or self.config.uses_teacher:
            return made
        # The same for all of a list, which only a teacher sees: else its gradient is rounding alone, and AdamW would
        # make whole steps of that.
        return replace(made, bias=made.bias.detach())

    def _fresh_head(self) -> dict[str, Tensor]:
        start = self.base.head
        if start is None or start.kind != self.config.head:
            start = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        device = self.base.device
        return {HEAD_WEIGHT: start.weight.clone().to(device), HEAD_BIAS: start.bias.clone().to(device)}


def head_of(tensors: Tensors, kind: str) -> HeadWeights:
    """The score head among trained values."""
    return HeadWeights(kind, tensors[HEAD_WEIGHT], tensors[HEAD_BIAS])


def check_layers(layers: tuple[int, ...] | None, num_layers: int) -> None:
    """Raises InvalidInput where the base has no layer of such a number."""
    if layers is not None and not all(0 <= n < num_layers for n in layers):
        raise InvalidInput(
            f"layers is {', '.join(map(str, layers))}: the base's layers are numbered from 0 to {num_layers - 1}",
            field="layers",
        )
