"""The CUDA graph runner gives the model's own scores in any order of batches."""

import gc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs import runner as module
from lorb_adapters.cuda_graphs.check import max_relative_deviation
from lorb_adapters.cuda_graphs.graph import GraphBucket, capture_graphs
from lorb_adapters.cuda_graphs.runner import CudaGraphRunner
from lorb_adapters.cuda_graphs.slots import NUM_SLOTS
from lorb_adapters.encoder import onednn
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import random_adapter

BUCKETS = (GraphBucket(48, 6, max_row_tokens=20), GraphBucket(120, 12, max_row_tokens=40))
LIMITS = BUCKETS[-1]
RANKS = (1, 4, 8, 9, 16, 24)


def various_adapters(base):
    """Returns adapters with every kind of head, ranks below, at and above a slot's, some modules only, and no LoRA."""
    targets = [("query", "key", "value", "dense"), ("query", "value"), ("dense",)]
    adapters = [
        random_adapter(base, i, HEAD_KINDS[i % 3], targets[i // 2 % 3], rank) for i, rank in enumerate((*RANKS, *RANKS))
    ]
    heads = [random_adapter(base, 50 + i, kind).head for i, kind in enumerate(HEAD_KINDS)]
    return [*adapters, *map(base_only_weights, heads)]


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_roberta"])
def scored_by_both(request):
    """A model that does not use graphs, a runner over its weights, and adapters for both."""
    model = RescoringModel(load_base(str(request.getfixturevalue(request.param))))
    return model, CudaGraphRunner(model, BUCKETS), various_adapters(model.base)


@st.composite
def drawn_rows(draw):
    """Rows that together fit the larger bucket."""
    lengths, left = [], LIMITS.tokens
    for _ in range(draw(st.integers(1, LIMITS.rows))):
        if left:
            lengths.append(draw(st.integers(1, min(left, LIMITS.max_row_tokens))))
            left -= lengths[-1]
    rows = []
    for length in lengths:
        ids = draw(st.lists(st.integers(5, 250), min_size=length, max_size=length))
        rows.append(EncodedHypothesis(tuple(ids), (0,) * length, draw(st.integers(0, length - 1)), False))
    return rows


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_runner_scores_as_the_model_does(scored_by_both, data):
    """Batches of any rows, adapters, heads and ranks score as in the model; too many slots are declined."""
    model, runner, adapters = scored_by_both
    rows = data.draw(drawn_rows())
    drawn = data.draw(st.lists(st.sampled_from(adapters), min_size=1, max_size=5, unique=True))
    row_adapters = data.draw(st.lists(st.integers(0, len(drawn) - 1), min_size=len(rows), max_size=len(rows)))
    slots = sum(-(-drawn[i].config.rank // 8) if drawn[i].lora else 1 for i in set(row_adapters))
    future = runner.launch(rows, drawn, row_adapters)
    assert (future is None) == (slots > NUM_SLOTS)
    if future is not None:
        torch.testing.assert_close(future.collect(), model.score(rows, drawn, row_adapters), rtol=1e-5, atol=1e-5)


def rows_of(*lengths):
    return [EncodedHypothesis(tuple(5 + (7 * i + n) % 200 for i in range(n)), (0,) * n, 0, False) for n in lengths]


@pytest.mark.parametrize(
    ("lengths", "bucket"),
    [
        ((20, 20), BUCKETS[0]), ((21, 1), BUCKETS[1]), ((1,) * 7, BUCKETS[1]), ((40, 40, 40), BUCKETS[1]),
        ((), None), ((41,), None), ((1,) * 13, None), ((40, 40, 40, 1), None),
    ],
)  # fmt: skip
def test_the_smallest_bucket_that_fits_is_used(tiny_bert, lengths, bucket):
    """Tokens, rows and the longest row decide; a batch that fits no bucket is declined."""
    model = RescoringModel(load_base(str(tiny_bert)))
    used = []

    def record(forwards):
        return [lambda i=i, forward=forward: used.append(i) or forward() for i, forward in enumerate(forwards)]

    runner = CudaGraphRunner(model, BUCKETS, record)
    adapter = random_adapter(model.base, 0)
    future = runner.launch(rows_of(*lengths), [adapter], [0] * len(lengths))
    assert [runner.buckets[i] for i in used] == ([] if bucket is None else [bucket])
    assert (future is None) == (bucket is None)


def test_a_model_tries_its_graphs_first(tiny_bert):
    """Graphs score the batches that fit, and eager forwards score the others; neither changes a score."""
    model = RescoringModel(load_base(str(tiny_bert)))
    adapters = [random_adapter(model.base, i) for i in range(2)]
    small, large = rows_of(3, 9, 4), rows_of(*[30] * 10)
    expected = [model.score(rows, adapters, [i % 2 for i in range(len(rows))]) for rows in (small, large)]
    runner, futures = CudaGraphRunner(model, BUCKETS), []

    def launch(*batch):
        futures.append(runner.launch(*batch))
        return futures[-1]

    model.launch_graph = launch
    for rows, scores in zip((small, large), expected, strict=True):
        torch.testing.assert_close(model.score(rows, adapters, [i % 2 for i in range(len(rows))]), scores)
    assert [future is not None for future in futures] == [True, False]


def test_adapters_without_rows_take_no_slots(tiny_bert):
    """A batch may name more adapters than its rows use; only the used ones need slots."""
    model = RescoringModel(load_base(str(tiny_bert)))
    adapters = [random_adapter(model.base, i, rank=64) for i in range(3)]
    future = CudaGraphRunner(model, BUCKETS).launch(rows_of(4, 5), adapters, [2, 2])
    torch.testing.assert_close(future.collect(), model.score(rows_of(4, 5), adapters, [2, 2]), rtol=1e-4, atol=1e-4)


def test_no_adapter_is_kept_alive(tiny_bert):
    """The cached matrices of an adapter are freed with it."""
    model = RescoringModel(load_base(str(tiny_bert)))
    runner = CudaGraphRunner(model, BUCKETS)
    adapter = random_adapter(model.base, 0)
    runner.launch(rows_of(4), [adapter], [0])
    cache = runner._slots._adapters._cache
    assert len(cache) == 1
    del adapter
    gc.collect()
    assert not cache


def test_buffers_stay_where_they_are(tiny_bert, monkeypatch):
    """A workspace buffer that a captured graph writes to is never replaced by a larger one."""
    workspaces, workspace_class = [], module.Workspace
    monkeypatch.setattr(
        module, "Workspace", lambda device: workspaces.append(workspace_class(device)) or workspaces[-1]
    )
    monkeypatch.setattr(onednn, "supports", lambda device, dtype: False)  # as on CUDA
    model = RescoringModel(load_base(str(tiny_bert)))
    adapter = random_adapter(model.base, 0)
    addresses = []

    def capture(forwards):
        for forward in forwards:
            forward()
            addresses.append({name: buffer.data_ptr() for name, buffer in workspaces[0]._buffers.items()})
        return forwards

    runner = CudaGraphRunner(model, BUCKETS, capture)
    for lengths in ((3,), (40, 40, 40), (40, 40), (2, 2)):
        runner.launch(rows_of(*lengths), [adapter], [0] * len(lengths))
        addresses.append({name: buffer.data_ptr() for name, buffer in workspaces[0]._buffers.items()})
    assert addresses[0]
    assert all(each == addresses[0] for each in addresses)


@pytest.fixture
def on_gpu(tiny_bert):
    return RescoringModel(load_base(str(tiny_bert), device="cuda", dtype=torch.bfloat16))


@pytest.mark.gpu
def test_captured_graphs_score_as_eager_forwards(on_gpu):
    """In bfloat16, over all buckets and in any order of batches, scores are within rounding of eager ones."""
    graphs = CudaGraphRunner(on_gpu, BUCKETS, capture_graphs)
    assert max_relative_deviation(on_gpu, graphs) < 0.1
    eager = CudaGraphRunner(on_gpu, BUCKETS)
    adapters = [weights.to("cuda", torch.bfloat16) for weights in various_adapters(on_gpu.base)]
    generator = torch.Generator().manual_seed(0)
    for number in range(60):
        count = int(torch.randint(1, 7, (), generator=generator))
        rows = rows_of(*torch.randint(1, 20, (count,), generator=generator).tolist())
        batch = (rows, [adapters[number % 15], adapters[(number + 4) % 15]], [i % 2 for i in range(count)])
        replayed, expected = (runner.launch(*batch) for runner in (graphs, eager))
        assert (replayed is None) == (expected is None)
        if replayed is not None:
            torch.testing.assert_close(replayed.collect(), expected.collect(), rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_batches_in_flight_keep_their_own_scores(on_gpu):
    """Twenty batches, more than the engine overlaps, are launched before the first is collected."""
    runner = CudaGraphRunner(on_gpu, BUCKETS, capture_graphs)
    adapters = [weights.to("cuda", torch.bfloat16) for weights in various_adapters(on_gpu.base)]
    batches = [(rows_of(2 + i % 17, 5, 1 + i), [adapters[i % 12]], [0] * 3) for i in range(20)]
    alone = [runner.launch(*batch).collect() for batch in batches]
    in_flight = [runner.launch(*batch) for batch in batches]
    for future, scores in zip(in_flight, alone, strict=True):
        torch.testing.assert_close(future.collect(), scores, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_an_overflow_stays_in_its_own_rows(on_gpu):
    """Rows beside an adapter with infinities score as they do alone, and so does the next batch."""
    good, bad = (random_adapter(on_gpu.base, seed).to("cuda", torch.bfloat16) for seed in range(2))
    for a, _ in bad.lora.values():
        a.fill_(3e38)
    runner = CudaGraphRunner(on_gpu, BUCKETS, capture_graphs)
    alone = runner.launch(rows_of(4, 9), [good], [0, 0]).collect()
    mixed = runner.launch(rows_of(4, 9, 4), [good, bad], [0, 0, 1]).collect()
    torch.testing.assert_close(mixed[:2], alone)
    assert not mixed[2].isfinite()
    torch.testing.assert_close(runner.launch(rows_of(4, 9), [good], [0, 0]).collect(), alone)
