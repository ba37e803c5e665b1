"""Times the floor: only the matrix products of LoRB's batches, each by the fastest operator that torch has.

The products of a layer are:
- linear layers: fused query, key and value; attention's output; the two of the feed-forward network;
- attention: two for each group of equally long hypotheses;
- LoRA: A and B for the tokens of each adapter.
Batches run side by side, one on each thread, or one after the other on all threads: whichever is faster. The weights
are the model's own, so that they are read from memory as in a real batch; where oneDNN is used they are in its layout.
The floor has no embedding, normalisation, softmax, activation, addition, copy or score head. On a CPU that emulates
bfloat16 it computes in fp32, which is faster.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AutoModel

from engine import Engine, Workers
from lorb_adapters.encoder import onednn
from lorb_adapters.lora.weights import AdapterWeights
from lorb_server.engine.batch import Batch
from models import Prepared as PreparedModel
from peers.peer import Prepared
from workload import TaggedList

Product = Callable[[], Tensor]

_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
_PROJECTIONS = (_QKV, ("attention.output.dense",), ("intermediate.dense",), ("output.dense",))
_TRIALS = 2  # of each way to run the products, before the timed run


class Floor:
    """Runs the products of the batches that `engine` makes."""

    def __init__(self, prepared: PreparedModel, engine: Engine, dtype: torch.dtype) -> None:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            dtype = torch.float32
        encoder = AutoModel.from_pretrained(prepared.base, add_pooling_layer=False, dtype=dtype)
        self._config, self._dtype = encoder.config, dtype
        self._uses_onednn = onednn.supports(torch.device("cpu"), dtype)
        self._engine = engine
        self._ways = [Workers(count) for count in sorted({1, torch.get_num_threads()})]
        self._of_adapters: WeakKeyDictionary[AdapterWeights, list[list[Tensor]]] = WeakKeyDictionary()
        with torch.no_grad():
            layers = [{path: each.weight for path, each in layer.named_modules() if isinstance(each, torch.nn.Linear)}
                      for layer in encoder.encoder.layer]  # fmt: skip
            self._base = [
                self._pack(torch.cat([weights[path] for path in paths])) for weights in layers for paths in _PROJECTIONS
            ]

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Prepares the products of all batches, and finds the faster way to run them.

        The trials also make oneDNN compile its kernels, which must not be timed.
        """
        batches = self._engine.batches(lists)
        with torch.inference_mode():
            products = [self._products(batch) for batch in batches]
        way = min(self._ways, key=lambda way: min(_seconds(way, products) for _ in range(_TRIALS)))
        return Prepared(
            lambda: _run(way, products),
            sum(len(batch.rows) for batch in batches),
            sum(batch.read_tokens for batch in batches),
        )

    def _products(self, batch: Batch) -> list[Product]:
        sizes = {self._config.hidden_size, self._config.intermediate_size}
        states = {size: torch.randn(batch.read_tokens, size, dtype=self._dtype) for size in sizes}
        segments = [(slice(start, stop), self._pack_adapter(adapter)) for start, stop, adapter in _segments(batch)]
        attention = _attention_products(batch, self._config.num_attention_heads, self._config.hidden_size, self._dtype)
        products: list[Product] = []
        for number, weight in enumerate(self._base):
            source = states[weight.shape[1]]
            products.append(self._product(source, weight))
            for tokens, matrices in segments:
                a, *b = matrices[number]
                low_rank = torch.randn(tokens.stop - tokens.start, b[0].shape[1], dtype=self._dtype)
                products.append(self._product(source[tokens], a))
                products += [self._product(low_rank, each) for each in b]
            if number % len(_PROJECTIONS) == 0:
                products += attention
        return products

    def _pack_adapter(self, adapter: AdapterWeights) -> list[list[Tensor]]:
        """For each projection of every layer: the As of its modules as one matrix, and the B of each."""
        if adapter not in self._of_adapters:
            sites = [
                [f"encoder.layer.{layer}.{path}" for path in paths]
                for layer in range(self._config.num_hidden_layers)
                for paths in _PROJECTIONS
            ]
            self._of_adapters[adapter] = [
                [self._pack(each) for each in (torch.cat([adapter.lora[path][0] for path in paths]),
                                               *(adapter.lora[path][1] for path in paths))]
                for paths in sites
            ]  # fmt: skip
        return self._of_adapters[adapter]

    def _pack(self, weight: Tensor) -> Tensor:
        weight = weight.to(self._dtype)
        return onednn.reorder_weight(weight) if self._uses_onednn else weight

    def _product(self, source: Tensor, weight: Tensor) -> Product:
        if self._uses_onednn:
            return partial(onednn.linear, source, weight, None)
        return partial(torch.mm, source, weight.T)


def _attention_products(batch: Batch, heads: int, hidden_size: int, dtype: torch.dtype) -> list[Product]:
    """Query times key, and that times value, for each group of equally long hypotheses."""
    products: list[Product] = []
    for length, count in Counter(row.num_tokens for row in batch.rows).items():
        states = torch.randn(count * heads, length, hidden_size // heads, dtype=dtype)
        weights = torch.randn(count * heads, length, length, dtype=dtype)
        products.append(partial(torch.bmm, states, states.transpose(1, 2), out=torch.empty_like(weights)))
        products.append(partial(torch.bmm, weights, states, out=torch.empty_like(states)))
    return products


def _segments(batch: Batch) -> list[tuple[int, int, AdapterWeights]]:
    """The tokens of each adapter as consecutive runs."""
    tokens: Counter[int] = Counter()
    for row, which in zip(batch.rows, batch.row_adapters, strict=True):
        tokens[which] += row.num_tokens
    segments, start = [], 0
    for which, count in tokens.items():
        segments.append((start, start + count, batch.adapters[which]))
        start += count
    return segments


def _seconds(way: Workers, products: Sequence[Sequence[Product]]) -> float:
    started = time.perf_counter()
    _run(way, products)
    return time.perf_counter() - started


def _run(way: Workers, products: Sequence[Sequence[Product]]) -> Sequence[float]:
    way.run(_run_batch, products)
    return ()


def _run_batch(worker: int, products: Sequence[Product]) -> None:
    for product in products:
        product()
