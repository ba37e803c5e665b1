"""Adapters to publish in tests: random weights for a real base, with golden lists that it scores."""

from typing import Any

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import Base
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.store.adapter import Publication
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.store.store import Store
from lorb_adapters.text import TextNormalization
from support.adapters.random_adapters import random_adapter

RANKING = Ranking(0.5, 0.8, 0.0, RankPrior((-0.3, -1.5, -2.5), 0.7, 0.9))
NORMALIZATION = TextNormalization(lowercase=True)
GOLDEN_NBEST = NBest(
    (
        Hypothesis("the cat sat", -3.5, {"acoustic": -2.0, "lm": -1.5}),
        Hypothesis("the cat sad", -3.9),
        Hypothesis("a cat sat on", -4.25),
        Hypothesis("the  cat sat", -5.0),
    ),
    id="utterance-1",
)


def golden_list(base: Base, weights: AdapterWeights, nbest: NBest = GOLDEN_NBEST) -> GoldenList:
    """`nbest` with the scores that `weights` give it on `base`, as a trainer stores them."""
    texts = [hypothesis.transcript for hypothesis in nbest.distinct()]
    rows = base.text_encoder.encode(texts, nbest.context, NORMALIZATION, False)
    scores = RescoringModel(base).score(rows, [weights], [0] * len(rows))
    return GoldenList.of(nbest, tuple(scores.tolist()))


def make_publication(base: Base, domain: str = "voice", seed: int = 0, **changes: Any) -> Publication:
    """A publication of random weights; `changes` replace its fields."""
    weights = changes.pop("weights", None) or random_adapter(base, seed, std=0.1, head_std=1.0)
    fields: dict[str, Any] = {
        "domain": domain,
        "weights": weights,
        "base_name": base.name,
        "base_fingerprint": base.fingerprint,
        "ranking": RANKING,
        "normalization": NORMALIZATION,
        "uses_context": False,
        "first_pass_statistics": {"mean": -4.0, "std": 1.5},
        "training_data": {"train.jsonl.gz": "a" * 64},
        "dev_metrics": {"first_pass_wer_percent": 16.7, "rescored_wer_percent": 15.9},
        "report_md": "# Report\n",
        "report_json": "{}\n",
    } | changes
    if "golden_lists" not in fields:
        fields["golden_lists"] = (golden_list(base, weights),)
    return Publication(**fields)


def publish(store: Store, base: Base, *, seed: int = 0, domain: str = "voice", set_stable: bool = True) -> str:
    """Publishes random weights without golden lists; returns the version."""
    return store.publish(make_publication(base, domain, seed, golden_lists=()), set_stable=set_stable)
