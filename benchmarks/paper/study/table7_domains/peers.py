"""Hosts many domains in one process: with adapters on one base, or with a model for each domain."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.utils import logging as transformers_logging

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.weights import AdapterWeights, base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.golden_scores import check_golden_scores
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.text import EncodedHypothesis, TextEncoder
from study.table7_domains.published_models import domain_name, full_model

MAX_TOKENS = 8192  # in a batch


@dataclass(frozen=True, slots=True)
class DomainRows:
    """The hypotheses of a list, and the number of its domain."""

    domain: int
    rows: tuple[EncodedHypothesis, ...]


class Peer(ABC):
    """A way to host many domains. folder: made by `published_models.publish_all`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @abstractmethod
    def load(self, number: int) -> None:
        """Reads the next domain from disk."""

    @abstractmethod
    def score(self, lists: Sequence[DomainRows]) -> list[float]:
        """Scores all hypotheses in batches of at most MAX_TOKENS."""

    @abstractmethod
    def weights(self) -> Iterator[Tensor]:
        """Every tensor that was read from disk and is held."""


class Adapters(Peer):
    """One base and an adapter for each domain, loaded and checked as the server does; batches mix domains."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = Store(str(folder / "store"))
        self._model: RescoringModel | None = None
        self._adapters: list[AdapterWeights] = []

    def load(self, number: int) -> None:
        """Loads an adapter; with the first one, the base."""
        name = domain_name(number)
        [version] = self._store.versions(name)
        if self._model is None:
            self._model = RescoringModel(load_base(self._store.manifest(name, version).base_name))
        adapter = load_adapter(self._store, name, version, self._model.base)
        check_golden_scores(adapter, self._model, self._model.base.text_encoder)
        self._adapters.append(adapter.weights)

    def score(self, lists: Sequence[DomainRows]) -> list[float]:
        """Scores the lists in the order given."""
        assert self._model is not None, "nothing is loaded"
        scores: list[float] = []
        for part in passes(lists):
            rows = [row for each in part for row in each.rows]
            row_adapters = [each.domain for each in part for _ in each.rows]
            present = sorted(set(row_adapters))
            adapters = [self._adapters[number] for number in present]
            scores += self._model.score(rows, adapters, [present.index(each) for each in row_adapters]).tolist()
        return scores

    def weights(self) -> Iterator[Tensor]:
        """The tensors that were read from disk and are kept."""
        if self._model is not None:
            yield from self._model.base.encoder.parameters()
        for adapter in self._adapters:
            yield from adapter.tensors()


class FullModels(Peer):
    """A model for each domain in LoRB's engine; batches do not mix domains."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._models: list[tuple[RescoringModel, AdapterWeights]] = []
        self._text_encoder: TextEncoder | None = None

    def load(self, number: int) -> None:
        """Loads a model; all share the first one's tokenizer."""
        base = load_base(str(full_model(self._folder, number)))
        assert base.head is not None, "a full model has a head"
        head = base_only_weights(base.head)
        self._text_encoder = self._text_encoder or base.text_encoder
        self._models.append((RescoringModel(replace(base, text_encoder=self._text_encoder)), head))

    def score(self, lists: Sequence[DomainRows]) -> list[float]:
        """Scores the lists of one domain after the other."""
        scores: list[float] = []
        for number in sorted({each.domain for each in lists}):
            model, weights = self._models[number]
            for part in passes([each for each in lists if each.domain == number]):
                rows = [row for each in part for row in each.rows]
                scores += model.score(rows, [weights], [0] * len(rows)).tolist()
        return scores

    def weights(self) -> Iterator[Tensor]:
        """The tensors that were read from disk and are kept."""
        for model, head in self._models:
            yield from model.base.encoder.parameters()
            yield from head.tensors()


class PlainModels(Peer):
    """A model for each domain as transformers loads it: the least memory that a server of such models needs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._models: list[tuple[Any, Tensor, Tensor]] = []
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    def load(self, number: int) -> None:
        """Loads a model without checking it."""
        from safetensors.torch import load_file

        folder = full_model(self._folder, number)
        encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False).eval()
        head = load_file(folder / "lorb_head.safetensors")
        self._models.append((encoder.requires_grad_(False), head["weight"], head["bias"]))

    @torch.inference_mode()
    def score(self, lists: Sequence[DomainRows]) -> list[float]:
        """Scores one hypothesis at a time: its speed is not measured."""
        scores = []
        for each in lists:
            encoder, weight, bias = self._models[each.domain]
            for row in each.rows:
                ids, types = torch.tensor([row.token_ids]), torch.tensor([row.type_ids])
                hidden = encoder(input_ids=ids, token_type_ids=types).last_hidden_state[0, row.scored_from :]
                scores.append(float((hidden @ weight + bias).sum()))
        return scores

    def weights(self) -> Iterator[Tensor]:
        """The tensors that were read from disk and are kept."""
        for encoder, weight, bias in self._models:
            yield from encoder.parameters()
            yield from (weight, bias)


PEERS: dict[str, type[Peer]] = {"adapters": Adapters, "full": FullModels, "plain": PlainModels}


def passes(lists: Sequence[DomainRows]) -> Iterator[list[DomainRows]]:
    """Batches of consecutive lists of at most MAX_TOKENS; a longer list is alone."""
    part: list[DomainRows] = []
    tokens = 0
    for each in lists:
        size = sum(row.num_tokens for row in each.rows)
        if part and tokens + size > MAX_TOKENS:
            yield part
            part, tokens = [], 0
        part.append(each)
        tokens += size
    if part:
        yield part
