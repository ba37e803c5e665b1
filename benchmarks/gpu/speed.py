"""Measures the speed of batches: large ones, single lists, CUDA graphs, many adapters, and peft."""

import time
from collections.abc import Iterator, Sequence
from statistics import median

import torch

from engine import LARGE_BATCH_TOKENS, LoadedModel, MixedPass
from gpu.records import Record
from gpu.setting import Setting, launch, run_all
from lorb_adapters.encoder.packed_encoder import PackedEncoder
from lorb_server.engine.batch import Batch
from models import RANK, prepared, random_adapter
from workload import NUM_DOMAINS

MIN_SHARE_OF_PEAK = 0.4
TERA = 1e12
HYPOTHESES_PER_SECOND = "hypotheses/s"
PEFT_LISTS = 40


def matrix_peak(setting: Setting) -> float:
    """Floating-point operations per second of a large bfloat16 matrix product; the best of five."""
    size = setting.amount.matrix_size
    left, right = (torch.randn(size, size, device=setting.device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * size**3 / min(setting.seconds(lambda: torch.mm(left, right, out=out), 3) for _ in range(5))


def saturation(setting: Setting, name: str, peak: float) -> Iterator[Record]:
    """Consecutive batches over real lists of eight domains, by batch size."""
    loaded = setting.loaded(name)
    for tokens in setting.amount.pass_tokens:
        lists = setting.take(0, 12 * tokens // 200)  # a list has about 200 tokens
        batches = setting.batches(name, lists, tokens)
        seconds = setting.seconds(lambda batches=batches: run_all(loaded.model, batches), 5)
        rate = sum(len(batch.rows) for batch in batches) / seconds
        share = operations(loaded, batches) / seconds / peak
        yield Record(f"engine, passes of {tokens}", name, rate, HYPOTHESES_PER_SECOND)
        minimum = MIN_SHARE_OF_PEAK if tokens == LARGE_BATCH_TOKENS else None
        yield Record(f"share of the matrix peak, passes of {tokens}", name, share, "", minimum=minimum)


def light_load(setting: Setting, name: str) -> Iterator[Record]:
    """Latency of one list at a time, from encoded hypotheses to scores, with CUDA graphs and eagerly in turn."""
    loaded = setting.loaded(name)
    lists = [each for each in setting.take(0, 4 * setting.amount.latency_lists) if len(each.texts) >= 8]
    batches = [setting.batches(name, [each], 1)[0] for each in lists[: setting.amount.latency_lists]]
    modes = {"CUDA graphs": setting.graph_runner(name), "eager": None}
    seconds: dict[str, list[float]] = {mode: [] for mode in modes}
    for number, batch in enumerate([*batches[:5], *batches]):
        for mode, graphs in modes.items():
            started = time.perf_counter()
            launch(loaded.model, batch, graphs).collect().tolist()
            if number >= 5:  # the first five warm up
                seconds[mode].append(time.perf_counter() - started)
    tokens = median(batch.read_tokens for batch in batches)
    for mode, times in seconds.items():
        ordered = sorted(times)
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            value = 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
            note = f"8 to 10 hypotheses, {tokens:.0f} tokens (median)"
            yield Record(f"list alone, {mode}, {label}", name, value, "ms", note=note)


def shapes(setting: Setting, name: str) -> Iterator[Record]:
    """A full batch of each CUDA graph, and the same hypotheses eagerly."""
    loaded, graphs = setting.loaded(name), setting.graph_runner(name)
    rows = [row for batch in setting.batches(name, setting.take(0, 40), 1) for row in batch.rows]
    for bucket in reversed(graphs.buckets):
        batch = Batch(adapters=loaded.adapters[:1])
        for row in rows:
            if bucket.fits(batch.read_tokens + row.num_tokens, len(batch.rows) + 1, row.num_tokens):
                batch.rows.append(row)
        batch.row_adapters.extend([0] * len(batch.rows))
        for mode, used in (("CUDA graphs", graphs), ("eager", None)):
            taken = setting.seconds(lambda batch=batch, used=used: launch(loaded.model, batch, used).collect())
            yield Record(f"pass of {bucket.tokens} tokens, {mode}", name, 1000 * taken, "ms")


def mixed_adapters(setting: Setting, name: str) -> Iterator[Record]:
    """A batch of 8192 tokens, by the number of adapters in it."""
    loaded = setting.loaded(name)
    base = loaded.base
    for seed in range(len(loaded.adapters), max(setting.amount.mixed_adapters)):
        loaded.adapters.append(random_adapter(base, seed).to(base.device, base.dtype))
    lists, first = setting.take(0, 60), 0.0
    for count in setting.amount.mixed_adapters:
        seconds = setting.seconds(MixedPass(loaded, count).prepare(lists).run)
        first = first or seconds
        note = f"{seconds / first:.2f} of a pass with {setting.amount.mixed_adapters[0]}"
        yield Record(f"pass of {LARGE_BATCH_TOKENS} tokens, {count} adapters", name, 1000 * seconds, "ms", note=note)


def peft_padded(setting: Setting, name: str) -> Iterator[Record]:
    """Throughput of peft's mixed batches of 64 padded hypotheses on real lists."""
    from peers.peft_model import ScoringPeftModel
    from peers.peft_padded import PeftPadded

    model = ScoringPeftModel(prepared(name), setting.dtype, NUM_DOMAINS, setting.device)
    contestant = PeftPadded(model, setting.loaded(name).base.text_encoder, sort_by_length=False)
    contestant.batch_size = 64
    work = contestant.prepare(setting.take(0, min(PEFT_LISTS, 4 * setting.amount.latency_lists)))
    seconds = setting.seconds(work.run, 2)
    yield Record("peft, padded mixed batches of 64", name, work.num_hypotheses / seconds, HYPOTHESES_PER_SECOND)


def operations(loaded: LoadedModel, batches: Sequence[Batch]) -> float:
    """Floating-point operations of the batches: linear layers, attention, and LoRA on every linear layer."""
    shapes = PackedEncoder(loaded.base.encoder).projection_shapes
    modules = (3, 1, 1, 1)  # linear layers of each projection: query, key and value are one projection
    linear = sum(modules[i % 4] * inputs * outputs for i, (inputs, outputs) in enumerate(shapes))
    lora = sum(modules[i % 4] * RANK * (inputs + outputs) for i, (inputs, outputs) in enumerate(shapes))
    tokens = sum(batch.read_tokens for batch in batches)
    squares = sum(row.num_tokens**2 for batch in batches for row in batch.rows)
    return 2.0 * tokens * (linear + lora) + 4.0 * squares * loaded.base.hidden_size * len(shapes) / 4
