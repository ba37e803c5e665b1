"""Measures the error of bfloat16 on real lists: eagerly, with CUDA graphs, and with many adapters in a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median, pstdev

import torch

from engine import Engine, LoadedModel
from gpu.records import Record
from gpu.setting import Setting, make_graph_runner, run_all
from lorb.formats import read_nbest_lists
from lorb.nbest import NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import SUM
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import map_order
from lorb_adapters.store.choose_base import AUTO, choose_base
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_server.engine.batch import Batch
from models import MINILM, prepared
from results_file import ROOT

DOMAIN = "librispeech"  # of the shipped adapter
MAX_ERROR = 0.02  # in standard deviations of a list's scores
MIN_SAME_BEST = 0.995
MIXED_LISTS = 64

Scores = list[list[float]]  # [lists] of [hypotheses]


def shipped_adapter(setting: Setting) -> Iterator[Record]:
    """Error, and share of equal best hypotheses, with the shipped adapter on dev and train lists of tests/data."""
    paths = [ROOT / f"tests/data/librispeech/{split}.jsonl.gz" for split in ("dev", "train")]
    lists = [nbest for nbest in read_nbest_lists(paths) if len(nbest.distinct()) > 1]
    lists = lists[: setting.amount.agreement_lists]
    exact = _Shipped(setting, torch.float32)
    rounded = _Shipped(setting, torch.bfloat16)
    batches = exact.batches(lists)
    expected = run_all(exact.model, batches)
    for name, graphs in (("eager", None), ("CUDA graphs", make_graph_runner(rounded.model, setting.amount.buckets))):
        found = run_all(rounded.model, rounded.batches(lists), graphs)
        is_same_best = [
            exact.best(nbest, a) == exact.best(nbest, b) for nbest, a, b in zip(lists, expected, found, strict=True)
        ]
        note = f"{len(lists)} lists, the shipped adapter"
        yield Record(
            f"error of bfloat16, {name}", MINILM, error(found, expected), "of spread", maximum=MAX_ERROR, note=note
        )
        yield Record(
            f"same best, {name}",
            MINILM,
            sum(is_same_best) / len(is_same_best),
            "of lists",
            minimum=MIN_SAME_BEST,
            note=note,
        )


def random_adapters(setting: Setting, name: str) -> Iterator[Record]:
    """Error of a random encoder with one adapter, and with several adapters in a batch.

    Uses sum heads, because the first token of a random encoder hardly depends on the other tokens.
    """
    lists = setting.take(0, min(300, setting.amount.agreement_lists))
    loaded, exact = (_with_sum_heads(LoadedModel(prepared(name), dtype, setting.device)) for dtype in (
        setting.dtype, torch.float32
    ))  # fmt: skip
    one_by_one = Engine(loaded, 1).batches(lists)
    expected = run_all(exact.model, Engine(exact, 1).batches(lists))
    alone = run_all(loaded.model, one_by_one)
    note = f"{len(lists)} lists, random weights"
    graphs = make_graph_runner(loaded.model, setting.amount.buckets)
    for mode, found in (("eager", alone), ("CUDA graphs", run_all(loaded.model, one_by_one, graphs))):
        yield Record(f"error of bfloat16, {mode}", name, error(found, expected), "of spread", note=note)
    mixed = Engine(loaded, setting.amount.pass_tokens[0]).batches(lists[:MIXED_LISTS])
    together = [
        [scores[place] for place in places]
        for batch, scores in zip(mixed, run_all(loaded.model, mixed), strict=True)
        for places in batch.score_rows
    ]
    adapters = max(len(batch.adapters) for batch in mixed)
    yield Record(
        "mixed pass against one list at a time", name, error(together, alone[: len(together)]), "of spread",
        note=f"{adapters} adapters; both bfloat16, the difference is rounding",
    )  # fmt: skip


def error(found: Scores, expected: Scores) -> float:
    """The median over lists of sd(found - expected) / sd(expected), sd the standard deviation within a list."""
    return median(
        pstdev(a - b for a, b in zip(of_found, of_expected, strict=True)) / max(pstdev(of_expected), 1e-12)
        for of_found, of_expected in zip(found, expected, strict=True)
        if len(of_expected) > 1
    )


def _with_sum_heads(loaded: LoadedModel) -> LoadedModel:
    """Replaces the heads of the adapters with sum heads."""
    loaded.adapters = [replace(each, head=replace(each.head, kind=SUM)) for each in loaded.adapters]
    return loaded


class _Shipped:
    """The shipped adapter on its base in one dtype."""

    def __init__(self, setting: Setting, dtype: torch.dtype) -> None:
        store = Store(str(ROOT / "adapters/store"))
        base = load_base(choose_base(AUTO, store), device=setting.device, dtype=dtype)
        self._adapter = load_adapter(store, DOMAIN, store.versions(DOMAIN)[-1], base)
        self.model = RescoringModel(base)

    def batches(self, lists: Sequence[NBest]) -> list[Batch]:
        """A batch for each list."""
        encoder, normalization = self.model.base.text_encoder, self._adapter.manifest.normalization
        batches = []
        for nbest in lists:
            texts = [each.transcript for each in nbest.distinct()]
            rows = encoder.encode(texts, "", normalization, uses_context=False)
            batches.append(Batch(rows=rows, row_adapters=[0] * len(rows), adapters=[self._adapter.weights]))
        return batches

    def best(self, nbest: NBest, scores: Sequence[float]) -> int:
        """The index of the hypothesis that is ranked first."""
        weight = self._adapter.manifest.ranking.weight
        first_pass = [each.first_pass_score for each in nbest.distinct()]
        return map_order([f + weight * s for f, s in zip(first_pass, scores, strict=True)])[0]
