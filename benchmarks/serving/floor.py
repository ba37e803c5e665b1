"""Times the floor: only the matrix products of LoRB's batches, into preallocated outputs.

The products of a layer are:
- linear layers: fused query, key and value; attention's output; the two of the feed-forward network;
- attention: two for each group of equally long hypotheses;
- LoRA: A and B for the tokens of each adapter.
The weights are the model's own, so that they are read from memory as in a real batch. The floor has no embedding,
normalisation, softmax, activation, addition, copy or score head. On a CPU that emulates bfloat16 it computes in fp32,
which is faster.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import AutoModel

from engine import Engine
from lorb_adapters.lora.weights import AdapterWeights
from lorb_server.engine.batch import Batch
from models import Prepared as PreparedModel
from peers.peer import Prepared
from workload import TaggedList

Product = tuple[Callable[..., Tensor], Tensor, Tensor, Tensor]  # function, left, right, output

_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
_OUT, _UP, _DOWN = "attention.output.dense", "intermediate.dense", "output.dense"


class Floor:
    """Runs the products of the batches that `engine` makes."""

    def __init__(self, prepared: PreparedModel, engine: Engine, dtype: torch.dtype) -> None:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            dtype = torch.float32
        self._encoder = AutoModel.from_pretrained(prepared.base, add_pooling_layer=False, dtype=dtype)
        self._engine = engine

    def prepare(self, lists: Sequence[TaggedList]) -> Prepared:
        """Prepares the products of all batches."""
        batches = self._engine.batches(lists)
        with torch.inference_mode():
            products = [product for batch in batches for product in self._products(batch)]
            if self._encoder.dtype == torch.bfloat16:
                _run(products)  # oneDNN compiles a kernel for each new shape, which must not be timed
        return Prepared(
            lambda: _run(products),
            sum(len(batch.rows) for batch in batches),
            sum(batch.read_tokens for batch in batches),
        )

    def _products(self, batch: Batch) -> list[Product]:
        config, tokens = self._encoder.config, batch.read_tokens
        hidden = torch.randn(tokens, config.hidden_size, dtype=self._encoder.dtype)
        buffers = {
            size: torch.randn(tokens, size, dtype=self._encoder.dtype)
            for size in (config.hidden_size, 3 * config.hidden_size, config.intermediate_size)
        }
        attention = _attention_products(batch, config.num_attention_heads, config.hidden_size, self._encoder.dtype)
        products: list[Product] = []
        for number, layer in enumerate(self._encoder.encoder.layer):
            linears = {path: layer.get_submodule(path).weight.detach() for path in (*_QKV, _OUT, _UP, _DOWN)}
            fused = torch.cat([linears[path] for path in _QKV])
            for weight in (fused, linears[_OUT], linears[_UP], linears[_DOWN]):
                source = buffers[config.intermediate_size] if weight is linears[_DOWN] else hidden
                products.append((torch.mm, source, weight.T, buffers[weight.shape[0]]))
            for start, stop, adapter in _segments(batch):
                products += _lora_products(adapter, f"encoder.layer.{number}.", buffers, hidden, slice(start, stop))
            products += attention
        return products


def _attention_products(batch: Batch, heads: int, hidden_size: int, dtype: torch.dtype) -> list[Product]:
    """Query times key, and that times value, for each group of equally long hypotheses."""
    products: list[Product] = []
    for length, count in Counter(row.num_tokens for row in batch.rows).items():
        states = torch.randn(count * heads, length, hidden_size // heads, dtype=dtype)
        weights = torch.randn(count * heads, length, length, dtype=dtype)
        products.append((torch.bmm, states, states.transpose(1, 2), weights))
        products.append((torch.bmm, weights, states, torch.empty_like(states)))
    return products


def _lora_products(
    adapter: AdapterWeights, layer: str, buffers: dict[int, Tensor], hidden: Tensor, tokens: slice
) -> list[Product]:
    """A and B of an adapter's six linear layers for its tokens; the As of query, key and value are one product."""
    groups = [[layer + path for path in _QKV], [layer + _OUT], [layer + _UP], [layer + _DOWN]]
    products: list[Product] = []
    for sites in groups:
        fused = torch.cat([adapter.lora[site][0] for site in sites]).to(hidden.dtype)  # [sites * rank, in]
        source = hidden if fused.shape[1] == hidden.shape[1] else buffers[fused.shape[1]]
        low_rank = torch.empty(tokens.stop - tokens.start, fused.shape[0], dtype=fused.dtype)
        products.append((torch.mm, source[tokens], fused.T, low_rank))
        for site, part in zip(sites, low_rank.chunk(len(sites), dim=1), strict=True):
            b = adapter.lora[site][1].to(hidden.dtype)
            products.append((torch.mm, part, b.T, buffers[b.shape[0]][tokens]))
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


def _run(products: Sequence[Product]) -> Sequence[float]:
    for function, left, right, out in products:
        function(left, right, out=out)
    return ()
