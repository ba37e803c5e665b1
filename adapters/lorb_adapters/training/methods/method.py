"""The base class of all training methods: trained tensors, forward pass with gradients, and scoring."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.encoder.head_scores import pool, pooled_scores
from lorb_adapters.encoder.packing import PackedRows, pack
from lorb_adapters.lora.head import SUM, HeadWeights
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.encoder.dropout import Dropout
from lorb_adapters.training.encoder.forward import LayerHooks, TrainingEncoder, product_dtype
from lorb_adapters.training.encoder.layer_cache import LayerCache
from lorb_adapters.training.methods.scoring import score_in_passes
from lorb_adapters.training.methods.threads import Threads

# Trained parameters by name.
Tensors = Mapping[str, Tensor]
HEAD_WEIGHT, HEAD_BIAS = "head.weight", "head.bias"


class Method(ABC):
    """A training method: which tensors are trained, and how they change the base's function.

    Attributes:
        name: the value of `--method`.
        trains_encoder: whether the encoder's own parameters are trained.
        caches_per_token: whether the layer cache has a vector for each token, or one vector for each row.
        base: the base; the method owns it and may change it.
        tensors: all trained tensors by name: fp32 leaf tensors in a fixed order, the head's last.
        layer_cache: cache of the hidden states below `first_trained_layer`; None without a cache.
        dtype: dtype of activations and frozen weights.
        threads: compute the parts of each batch side by side.
    """

    name: ClassVar[str]
    trains_encoder: ClassVar[bool] = False
    caches_per_token: ClassVar[bool] = True

    def __init__(self, base: Base, config: TrainConfig) -> None:
        """Raises InvalidInput if the base lacks a layer that `config` names."""
        self.base, self.config = base, config
        self.layer_cache: LayerCache | None = None
        self.threads = Threads()
        self.dtype = product_dtype(config.precision, base.device)
        generator = torch.Generator().manual_seed(config.seed)
        self.encoder = self._training_encoder()
        self.tensors = dict(self._initial_tensors(generator)) | self._initial_head()
        for tensor in self.tensors.values():
            tensor.requires_grad_(True)

    @abstractmethod
    def _initial_tensors(self, generator: torch.Generator) -> Tensors:
        """Returns the trained tensors without the head's, with initial values, fp32, on the base's device."""

    def _hooks(self, dropout: Dropout | None) -> LayerHooks:
        """Returns the hooks with which the method changes each layer in one forward pass."""
        return LayerHooks()

    @property
    def first_trained_layer(self) -> int:
        """The lowest layer with trained tensors; training does not change the input of this layer."""
        return self._layers[0]

    @property
    def num_trained_parameters(self) -> int:
        """Number of trained parameters, including the head's."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def head(self) -> HeadWeights:
        """The current score head."""
        head = head_of(self.tensors, self.config.head)
        if head.kind == SUM or self.config.uses_teacher:
            return head
        # The bias of a mean or cls head is the same for all hypotheses of a list, so only a teacher's loss depends on
        # it. Without a teacher the gradient of this bias is rounding noise, which AdamW would scale up to full steps.
        return replace(head, bias=head.bias.detach())

    def forward(self, rows: Sequence[EncodedHypothesis], dropout: Dropout | None) -> tuple[Tensor, Tensor]:
        """Returns the head's input before dropout, [rows, hidden], and the rescoring scores, [rows]; both fp32.

        Both are differentiable with respect to `tensors`.
        """
        by_length = sorted(range(len(rows)), key=lambda i: rows[i].num_tokens)  # attention is then faster
        rows = [rows[i] for i in by_length]
        features, scores = self.threads.forward(
            lambda part, rows: self._forward(rows, None if dropout is None else dropout.of_part(part)),
            rows,
            list(self.tensors.values()),
        )
        order = torch.tensor(by_length).argsort().to(self.base.device)
        return features[order], scores[order]

    def scores(self, tensors: Tensors, lists: Sequence[EncodedList]) -> list[list[float]]:
        """Returns the rescoring scores of each list's distinct hypotheses with `tensors`, without dropout."""
        with self._replaced(tensors):
            return list(score_in_passes(self._score, lists))

    def snapshot(self) -> dict[str, Tensor]:
        """Returns a copy of the trained tensors."""
        return {name: tensor.detach().clone() for name, tensor in self.tensors.items()}

    def restore(self, tensors: Tensors) -> None:
        """Sets the trained tensors to these values."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(tensors[name])

    def frozen_hidden_states(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Computes the vectors that the layer cache holds, end to end, without gradients. rows: sorted by length."""
        compute = torch.inference_mode()(self._cached_vectors)
        return torch.cat(self.threads.map(compute, self.threads.split(rows)))

    def _cached_vectors(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Computes the vectors that the layer cache holds, end to end."""
        return self._frozen_hidden_states(rows, self._pack(rows))

    def _forward(self, rows: Sequence[EncodedHypothesis], dropout: Dropout | None) -> tuple[Tensor, Tensor]:
        """Returns what `forward` returns. rows: sorted by length."""
        packed = self._pack(rows)
        features = self._features(rows, packed, dropout)
        head_input = features if dropout is None else dropout(features)
        return features, pooled_scores(head_input, packed, self.head)

    def _features(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        """Returns the head's input, [rows, hidden], fp32."""
        return pool(self._hidden_states(rows, packed, dropout), packed, self.config.head)

    def _hidden_states(self, rows: Sequence[EncodedHypothesis], packed: PackedRows, dropout: Dropout | None) -> Tensor:
        """Returns the output of the encoder's last layer, [tokens, hidden]."""
        layers = range(self.first_trained_layer, self.encoder.num_layers)
        return self.encoder.forward(packed, self._frozen_hidden_states(rows, packed), layers, self._hooks(dropout))

    def _frozen_hidden_states(self, rows: Sequence[EncodedHypothesis], packed: PackedRows) -> Tensor:
        """Returns the input of the first trained layer, [tokens, hidden], from the cache if possible."""
        if self.layer_cache is not None and self.layer_cache.contains(rows):
            return self.layer_cache.vectors(rows).to(self.base.device, self.dtype)
        return self.encoder.forward(packed, self.encoder.embed(packed), range(self.first_trained_layer), LayerHooks())

    @torch.inference_mode()
    def _score(self, rows: Sequence[EncodedHypothesis]) -> Tensor:
        """Returns the scores of rows, [rows], fp32, on the CPU."""
        return self.forward(rows, None)[1].float().cpu()

    @contextmanager
    def _replaced(self, tensors: Tensors) -> Iterator[None]:
        current = self.snapshot()
        self.restore(tensors)
        try:
            yield
        finally:
            self.restore(current)

    @property
    def _layers(self) -> tuple[int, ...]:
        """The numbers of the layers with trained tensors."""
        return self.config.lora.layers or tuple(range(self.encoder.num_layers))

    def _training_encoder(self) -> TrainingEncoder:
        encoder = TrainingEncoder(self.base.encoder, self.dtype, trains_encoder=self.trains_encoder)
        _check_layers(self.config.lora.layers, encoder.num_layers)
        return encoder

    def _pack(self, rows: Sequence[EncodedHypothesis]) -> PackedRows:
        return pack(rows, first_position=self.base.first_position, device=self.base.device)

    def _initial_head(self) -> dict[str, Tensor]:
        head = self.base.head
        if head is None or head.kind != self.config.head:
            head = HeadWeights.zeros(self.config.head, self.base.hidden_size)
        device = self.base.device
        return {HEAD_WEIGHT: head.weight.clone().to(device), HEAD_BIAS: head.bias.clone().to(device)}


def head_of(tensors: Tensors, kind: str) -> HeadWeights:
    """Returns the score head among trained tensors."""
    return HeadWeights(kind, tensors[HEAD_WEIGHT], tensors[HEAD_BIAS])


def _check_layers(layers: tuple[int, ...] | None, num_layers: int) -> None:
    if layers is not None and not all(0 <= n < num_layers for n in layers):
        raise InvalidInput(
            f"layers is {', '.join(map(str, layers))}: the base's layers are numbered from 0 to {num_layers - 1}",
            field="layers",
        )
