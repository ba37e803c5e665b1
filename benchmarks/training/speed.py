"""Measures training speed in tokens per second on real lists, and that of the matrix products alone.

    python benchmarks/training/speed.py [--base minilm] [--precision fp32] [--threads 2] [--rounds 7] [--steps 6]

Two variants run the same steps in turn in each round; figures are medians over the rounds:
- step: the trainer's step with losses, backward pass and optimiser; the threads divide the batch;
- floor: only the matrix products, each divided among the threads: forward and input gradients of the frozen linear
  layers (query, key and value as one), forward and backward of LoRA, and of attention for each group of equally long
  rows. It has no embedding, normalisation, softmax, activation, addition, copy, loss or optimiser, nothing below the
  first adapted layer, and no gradient of that layer's input.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
import torch
from torch import Tensor

from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from lorb_adapters.training.batches import batches
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList, encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.encoder.forward import product_dtype
from lorb_adapters.training.encoder.linear import product
from lorb_adapters.training.methods import Lora
from lorb_adapters.training.methods.threads import Threads
from lorb_adapters.training.objective import Objective
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.processes import Processes
from results_file import RESULTS, ROOT, write_results

LISTS = ROOT / "tests" / "data" / "librispeech" / "train.jsonl.gz"
OUTPUT = RESULTS / "training_speed.jsonl"

Batch = list[EncodedList]
Product = Callable[[], object]


class Step:
    """A step of the trainer."""

    def __init__(self, method: Lora, config: TrainConfig, lists: Sequence[EncodedList]) -> None:
        self._objective = Objective(method, config, fit_rank_prior(lists), Processes())
        self._optimizer = Optimizer(method.tensors, config, TrainingState(tensors={}))

    def __call__(self, batch: Batch, number: int) -> None:
        """Runs a step."""
        torch.set_num_threads(1)
        self._optimizer.zero_grad()
        losses = self._objective(batch, number)
        assert losses.total is not None
        losses.total.backward()
        self._optimizer.step(number, 1000)


class Floor:
    """The matrix products of a step and nothing else."""

    def __init__(self, base: Base, config: TrainConfig, threads: int) -> None:
        self._encoder, self._config, self._threads = base.encoder, config, threads
        self._dtype = product_dtype(config.precision, base.device)
        self._products: dict[int, list[Product]] = {}

    def __call__(self, batch: Batch, number: int) -> None:
        """Runs the products of a step."""
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            for compute in self._products[number]:
                compute()

    def allocate(self, batch: Batch, number: int) -> None:
        """Allocates all operands and outputs of a step."""
        rows = [row for each in batch for row in each.rows]
        torch.set_default_dtype(self._dtype)
        with torch.inference_mode():
            self._products[number] = self._of(rows)
        torch.set_default_dtype(torch.float32)

    def _of(self, rows: Sequence[EncodedHypothesis]) -> list[Product]:
        tokens, shapes = sum(row.num_tokens for row in rows), self._encoder.config
        hidden, inner, rank = shapes.hidden_size, shapes.intermediate_size, self._config.lora.rank
        states = {size: torch.randn(tokens, size) for size in (hidden, inner, 3 * hidden)}
        outputs = {size: torch.empty(tokens, size) for size in states}
        attention = _attention(rows, shapes.num_attention_heads, hidden // shapes.num_attention_heads)
        first = min(self._config.lora.layers or (0,))
        products: list[Product] = []
        for layer in range(first, shapes.num_hidden_layers):
            weights = [torch.randn(*shape) for shape in ((3 * hidden, hidden), (hidden, hidden))]
            weights += [torch.randn(inner, hidden), torch.randn(hidden, inner)]
            for place, weight in enumerate(weights):
                out, into = weight.shape
                products.append(_frozen(states[into], weight))
                if layer > first or place:
                    products.append(_frozen(states[out], weight.T))
                sites = 3 if place == 0 else 1
                products += _lora(states[into], states[out], outputs, sites, rank, layer > first or place > 0)
            products += attention
        return products


def _mm(left: Tensor, right: Tensor, out: Tensor) -> Product:
    return lambda: torch.mm(left, right, out=out)


def _frozen(x: Tensor, weight: Tensor) -> Product:
    return lambda: product(x, weight)


def _lora(x: Tensor, grad: Tensor, outputs: dict[int, Tensor], sites: int, rank: int, to_input: bool) -> list[Product]:
    tokens, into = x.shape
    part = grad.shape[1] // sites
    a, b = torch.randn(sites * rank, into), torch.randn(part, rank)
    low, grad_a, grad_b = torch.randn(tokens, sites * rank), torch.empty(sites * rank, into), torch.empty(part, rank)
    one, spare = torch.randn(tokens, rank), torch.empty(tokens, rank)
    products = [_mm(x, a.T, low), _mm(low.T, x, grad_a)]
    for i in range(sites):
        columns = grad[:, i * part : (i + 1) * part]
        target = outputs[grad.shape[1]][:, i * part : (i + 1) * part]
        products += [
            lambda target=target: torch.addmm(target, one, b.T, out=target),
            _mm(columns, b, spare),
            _mm(columns.T, one, grad_b),
        ]
    if to_input:
        products.append(lambda: torch.addmm(outputs[into], low, a, out=outputs[into]))
    return products


def _attention(rows: Sequence[EncodedHypothesis], heads: int, size: int) -> list[Product]:
    """Two products forward and four backward for each group of equally long rows."""
    products: list[Product] = []
    for length, count in Counter(row.num_tokens for row in rows).items():
        states, scores = torch.randn(count * heads, length, size), torch.randn(count * heads, length, length)
        state_out, score_out = torch.empty_like(states), torch.empty_like(scores)
        to_scores = lambda s=states, o=score_out: torch.bmm(s, s.mT, out=o)  # noqa: E731
        to_states = lambda p=scores, s=states, o=state_out: torch.bmm(p, s, out=o)  # noqa: E731
        transposed = lambda p=scores, s=states, o=state_out: torch.bmm(p.mT, s, out=o)  # noqa: E731
        products += [to_scores, to_states, to_scores, transposed, to_states, transposed]
    return products


def main() -> None:
    """Runs the rounds and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--lists", type=Path, default=LISTS)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="precision of step and floor")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=6, help="steps in each round")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file of the results (default: %(default)s)")
    args = parser.parse_args()
    keep_freed_pages()
    torch.set_flush_denormal(True)
    base = load_base(args.base)
    config = TrainConfig(lora=LoraConfig(), precision=args.precision)
    nbests = read_nbest_lists([args.lists], require_references=True)
    lists = [
        each
        for each in encode_lists(nbests, base.text_encoder, TextNormalization(), uses_context=False)
        if each.has_contrast
    ]
    steps = list(enumerate(islice(batches(lists, config, args.steps), args.steps), start=1))
    method = Lora(base, config)
    method.threads = Threads(args.threads)
    floor = Floor(base, config, args.threads)
    for number, batch in steps:
        floor.allocate(batch, number)
    variants: dict[str, Callable[[Batch, int], None]] = {"step": Step(method, config, lists), "floor": floor}
    num_tokens = sum(each.num_tokens for _, batch in steps for each in batch)
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(args.rounds + 1):
        for name, run in variants.items():
            started = time.perf_counter()
            for number, batch in steps:
                run(batch, number)
            if turn:  # the first round warms up
                speeds[name].append(num_tokens / (time.perf_counter() - started))
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    figures = {
        "base": args.base,
        "lists": args.lists.name,
        "threads": args.threads,
        "precision": args.precision,
        "steps": args.steps,
        "rounds": args.rounds,
        "tokens_per_step": num_tokens / args.steps,
        "tokens_per_second": medians,
        "lowest": {name: min(each) for name, each in speeds.items()},
        "highest": {name: max(each) for name, each in speeds.items()},
        "share_of_floor": {name: medians[name] / medians["floor"] for name in medians},
    }
    write_results(args.output, [figures], ("base", "precision"))
    for name, median in medians.items():
        share = median / medians["floor"]
        print(f"{name:8} {median:8,.0f} tokens/s  {100 * share:5.1f}% of the floor")


if __name__ == "__main__":
    main()
