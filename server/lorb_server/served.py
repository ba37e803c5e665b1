"""What a call needs of an adapter, pinned for as long as the call lives."""

from dataclasses import dataclass

from lorb.names import BASE_DOMAIN
from lorb.ranked import AdapterRef
from lorb_adapters.adapter import Adapter, weights_digest
from lorb_adapters.base import Base
from lorb_adapters.lora import AdapterWeights, base_only_weights
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.text import TextNormalization


@dataclass(frozen=True, slots=True, eq=False)
class ServedAdapter:
    """One verified adapter on the model's device.

    Attributes:
        ref: its identity, which every answer carries.
        weights: LoRA and head, on the model's device.
        ranking: weight, rank prior, posterior scale and switching margin.
        normalization: how it reads transcripts.
        uses_context: whether it reads the preceding turn.
        training_score_mean: of the first-pass scores it was trained with, natural log; None where it had none.
    """

    ref: AdapterRef
    weights: AdapterWeights
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    training_score_mean: float | None = None


def served(adapter: Adapter) -> ServedAdapter:
    """A loaded adapter, ready to serve."""
    manifest = adapter.manifest
    return ServedAdapter(
        ref=adapter.ref,
        weights=adapter.weights,
        ranking=manifest.ranking,
        normalization=manifest.normalization,
        uses_context=manifest.uses_context,
        training_score_mean=manifest.first_pass_statistics.get("mean"),
    )


def served_base(base: Base) -> ServedAdapter | None:
    """The reserved domain `base`: the base's own head, with weight 1. None where the base has no head."""
    if base.head is None:
        return None
    weights = base_only_weights(base.head)
    digest = weights_digest(weights)
    ranking = Ranking(
        weight=1.0,
        posterior_scale=1.0,
        switching_margin=0.0,
        rank_prior=RankPrior(log_probabilities=(0.0,), weight=0.0, posterior_scale=1.0),
    )
    return ServedAdapter(
        ref=AdapterRef(BASE_DOMAIN, f"1-{digest[:12]}", digest),
        weights=weights.to(base.device, base.dtype),
        ranking=ranking,
        normalization=TextNormalization(),
        uses_context=False,
    )
