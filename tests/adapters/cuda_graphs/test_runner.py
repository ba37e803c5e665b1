"""Passes of fixed shapes: the scores of ordinary passes, whatever was scored before."""

import gc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorb_adapters.base.loader import load_base
from lorb_adapters.cuda_graphs import runner as module
from lorb_adapters.cuda_graphs.adapter_slots import NUM_SLOTS
from lorb_adapters.cuda_graphs.bucket import GraphBucket
from lorb_adapters.cuda_graphs.check import largest_deviation
from lorb_adapters.cuda_graphs.graph import captured
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.lora.weights import base_only_weights
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import EncodedHypothesis
from support.adapters.random_adapters import random_adapter

SHAPES = (GraphBucket(48, 6, longest=20), GraphBucket(120, 12, longest=40))
LIMITS = SHAPES[-1]
RANKS = (1, 4, 8, 9, 16, 24)


def made_adapters(base):
    """Every kind of head, ranks below, at and above slots, some sites only, and none."""
    targets = [("query", "key", "value", "dense"), ("query", "value"), ("dense",)]
    made = [
        random_adapter(base, i, HEAD_KINDS[i % 3], targets[i // 2 % 3], rank) for i, rank in enumerate((*RANKS, *RANKS))
    ]
    return [*made, *(base_only_weights(random_adapter(base, 50 + i, kind).head) for i, kind in enumerate(HEAD_KINDS))]


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_roberta"])
def scored_by_both(request):
    """A model that never uses small passes, the small passes over its weights, and adapters for both."""
    model = RescoringModel(load_base(str(request.getfixturevalue(request.param))))
    return model, model.small_passes(SHAPES), made_adapters(model.base)


@st.composite
def drawn_rows(draw):
    """Rows that together fit the larger shape, of lengths up to its longest."""
    lengths, left = [], LIMITS.tokens
    for _ in range(draw(st.integers(1, LIMITS.rows))):
        if left:
            lengths.append(draw(st.integers(1, min(left, LIMITS.longest))))
            left -= lengths[-1]
    rows = []
    for length in lengths:
        ids = draw(st.lists(st.integers(5, 250), min_size=length, max_size=length))
        rows.append(EncodedHypothesis(tuple(ids), (0,) * length, draw(st.integers(0, length - 1)), False))
    return rows


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_small_passes_score_as_ordinary_ones(scored_by_both, data):
    """Any rows, any mix of adapters, heads and ranks, in one pass after the other; or they are declined."""
    model, passes, adapters = scored_by_both
    rows = data.draw(drawn_rows())
    own = data.draw(st.lists(st.sampled_from(adapters), min_size=1, max_size=5, unique=True))
    which = data.draw(st.lists(st.integers(0, len(own) - 1), min_size=len(rows), max_size=len(rows)))
    slots = sum(-(-own[i].config.rank // 8) if own[i].lora else 1 for i in set(which))
    pending = passes.launch(rows, own, which)
    assert (pending is None) == (slots > NUM_SLOTS)
    if pending is not None:
        torch.testing.assert_close(pending.collect(), model.score(rows, own, which), rtol=1e-5, atol=1e-5)


def rows_of(*lengths):
    return [EncodedHypothesis(tuple(5 + (7 * i + n) % 200 for i in range(n)), (0,) * n, 0, False) for n in lengths]


@pytest.mark.parametrize(
    ("lengths", "shape"),
    [
        ((20, 20), SHAPES[0]), ((21, 1), SHAPES[1]), ((1,) * 7, SHAPES[1]), ((40, 40, 40), SHAPES[1]),
        ((), None), ((41,), None), ((1,) * 13, None), ((40, 40, 40, 1), None),
    ],
)  # fmt: skip
def test_the_smallest_shape_with_room_is_taken(tiny_bert, lengths, shape):
    """By tokens, rows and the longest row; what fits none is left to ordinary passes."""
    model = RescoringModel(load_base(str(tiny_bert)))
    taken = []
    passes = model.small_passes(SHAPES, lambda runs: [lambda i=i, run=run: taken.append(i) or run() for i, run in
                                                      enumerate(runs)])  # fmt: skip
    adapter = random_adapter(model.base, 0)
    pending = passes.launch(rows_of(*lengths), [adapter], [0] * len(lengths))
    assert [passes.shapes[i] for i in taken] == ([] if shape is None else [shape])
    assert (pending is None) == (shape is None)


def test_a_model_asks_its_small_passes_first(tiny_bert):
    """What they hold they score; the rest the model scores itself, with the same result as ever."""
    model = RescoringModel(load_base(str(tiny_bert)))
    adapters = [random_adapter(model.base, i) for i in range(2)]
    small, large = rows_of(3, 9, 4), rows_of(*[30] * 10)
    expected = [model.score(rows, adapters, [i % 2 for i in range(len(rows))]) for rows in (small, large)]
    passes, asked = model.small_passes(SHAPES), []

    def launch(*work):
        asked.append(passes.launch(*work))
        return asked[-1]

    model.launch_small = launch
    for rows, scores in zip((small, large), expected, strict=True):
        torch.testing.assert_close(model.score(rows, adapters, [i % 2 for i in range(len(rows))]), scores)
    assert [pending is not None for pending in asked] == [True, False]


def test_adapters_that_no_row_has_take_no_slots(tiny_bert):
    """A part of a pass names all its adapters; only those of its own rows count."""
    model = RescoringModel(load_base(str(tiny_bert)))
    adapters = [random_adapter(model.base, i, rank=64) for i in range(3)]
    pending = model.small_passes(SHAPES).launch(rows_of(4, 5), adapters, [2, 2])
    torch.testing.assert_close(pending.collect(), model.score(rows_of(4, 5), adapters, [2, 2]), rtol=1e-4, atol=1e-4)


def test_no_adapter_is_kept_alive(tiny_bert):
    """What an adapter took goes with it."""
    model = RescoringModel(load_base(str(tiny_bert)))
    passes = model.small_passes(SHAPES)
    adapter = random_adapter(model.base, 0)
    passes.launch(rows_of(4), [adapter], [0])
    kept = passes._slots._adapters._kept
    assert len(kept) == 1
    del adapter
    gc.collect()
    assert not kept


def test_buffers_stay_where_they_are(tiny_bert, monkeypatch):
    """Scratch memory that a recorded pass writes to is never replaced by a larger one."""
    scratches = []
    monkeypatch.setattr(module, "Workspace", lambda device: scratches.append(original(device)) or scratches[-1])
    model = RescoringModel(load_base(str(tiny_bert)))
    adapter = random_adapter(model.base, 0)
    seen = []

    def capture(runs):
        for run in runs:
            run()
            seen.append({name: buffer.data_ptr() for name, buffer in scratches[0]._buffers.items()})
        return runs

    passes = model.small_passes(SHAPES, capture)
    for lengths in ((3,), (40, 40, 40), (40, 40), (2, 2)):
        passes.launch(rows_of(*lengths), [adapter], [0] * len(lengths))
        seen.append({name: buffer.data_ptr() for name, buffer in scratches[0]._buffers.items()})
    assert seen[0]
    assert all(each == seen[0] for each in seen)


original = module.Workspace


def test_an_encoder_without_a_packed_forward_has_none(tiny_bert):
    """It is an error that says so, not a wrong score."""
    base = load_base(str(tiny_bert))
    base.encoder.encoder.layer[0].output.one_more = torch.nn.Identity()
    with pytest.raises(ValueError, match="forward"):
        RescoringModel(base).small_passes(SHAPES)


@pytest.fixture
def on_gpu(tiny_bert):
    return RescoringModel(load_base(str(tiny_bert), device="cuda", dtype=torch.bfloat16))


@pytest.mark.gpu
def test_recorded_passes_score_as_ordinary_ones(on_gpu):
    """In bfloat16, over all shapes and in any order of passes: within rounding of launching one by one."""
    passes = on_gpu.small_passes(SHAPES, captured)
    assert largest_deviation(on_gpu, passes) < 0.1
    eager = on_gpu.small_passes(SHAPES)
    adapters = [weights.to("cuda", torch.bfloat16) for weights in made_adapters(on_gpu.base)]
    generator = torch.Generator().manual_seed(0)
    for number in range(60):
        count = int(torch.randint(1, 7, (), generator=generator))
        rows = rows_of(*torch.randint(1, 20, (count,), generator=generator).tolist())
        work = (rows, [adapters[number % 15], adapters[(number + 4) % 15]], [i % 2 for i in range(count)])
        recorded, launched = (each.launch(*work) for each in (passes, eager))
        assert (recorded is None) == (launched is None)
        if recorded is not None:
            torch.testing.assert_close(recorded.collect(), launched.collect(), rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_passes_launched_before_others_land_keep_their_own_scores(on_gpu):
    """As the engine overlaps them, and further: twenty under way, each collected later, of one shape and of two."""
    passes = on_gpu.small_passes(SHAPES, captured)
    adapters = [weights.to("cuda", torch.bfloat16) for weights in made_adapters(on_gpu.base)]
    works = [(rows_of(2 + i % 17, 5, 1 + i), [adapters[i % 12]], [0] * 3) for i in range(20)]
    alone = [passes.launch(*work).collect() for work in works]
    under_way = [passes.launch(*work) for work in works]
    for pending, scores in zip(under_way, alone, strict=True):
        torch.testing.assert_close(pending.collect(), scores, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_a_failed_capture_leaves_the_device_usable(on_gpu):
    """What cannot be recorded raises, and ordinary passes and a second recording go on."""
    with pytest.raises(RuntimeError):
        captured([lambda: torch.zeros(1, device="cuda") + torch.zeros(1, device="cuda").item()])
    assert largest_deviation(on_gpu, on_gpu.small_passes(SHAPES, captured)) < 0.1


@pytest.mark.gpu
def test_an_overflow_stays_in_its_own_rows(on_gpu):
    """One adapter's infinity is not another's: rows beside it score as alone, and so does the next pass."""
    good, bad = (random_adapter(on_gpu.base, seed).to("cuda", torch.bfloat16) for seed in range(2))
    for a, _ in bad.lora.values():
        a.fill_(3e38)
    passes = on_gpu.small_passes(SHAPES, captured)
    alone = passes.launch(rows_of(4, 9), [good], [0, 0]).collect()
    mixed = passes.launch(rows_of(4, 9, 4), [good, bad], [0, 0, 1]).collect()
    torch.testing.assert_close(mixed[:2], alone)
    assert not mixed[2].isfinite()
    torch.testing.assert_close(passes.launch(rows_of(4, 9), [good], [0, 0]).collect(), alone)
