"""What a call needs of an adapter, pinned for as long as the call lives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorb.errors import ModelFailed, StoreUnavailable, Unavailable
from lorb.names import BASE_DOMAIN
from lorb.ranked import AdapterRef
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.text import TextNormalization

if TYPE_CHECKING:  # a front process has no torch, and starts in a third of the time
    from lorb_adapters.base.loader import Base
    from lorb_adapters.lora.weights import AdapterWeights
    from lorb_adapters.store.adapter import Adapter

# Errors that are not the fault of the version being loaded: it is not refused, and loading it may be tried again.
TRANSIENT_ERRORS = (StoreUnavailable, ModelFailed, Unavailable)


@dataclass(frozen=True, slots=True, eq=False)
class AdapterHandle:
    """One verified adapter. Its weights may have left the device: see `lorb_server.engine.adapter_cache`.

    Attributes:
        ref: its identity, which every answer carries.
        ranking: weight, rank prior, posterior scale and switching margin.
        normalization: how it reads transcripts.
        uses_context: whether it reads the preceding turn.
        training_score_mean: of the first-pass scores it was trained with, natural log; None where it had none.
        training_score_deviation: their standard deviation; None likewise.
        size_bytes: memory that its weights take on the device.
    """

    ref: AdapterRef
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    training_score_mean: float | None = None
    training_score_deviation: float | None = None
    size_bytes: int = 0


def served(adapter: "Adapter") -> AdapterHandle:
    """What serving keeps of a loaded adapter, besides its weights."""
    manifest = adapter.manifest
    return AdapterHandle(
        ref=adapter.ref,
        ranking=manifest.ranking,
        normalization=manifest.normalization,
        uses_context=manifest.uses_context,
        training_score_mean=manifest.first_pass_statistics.get("mean"),
        training_score_deviation=manifest.first_pass_statistics.get("std"),
        size_bytes=adapter.weights.size_bytes,
    )


def served_base(base: "Base") -> "tuple[AdapterHandle, AdapterWeights] | None":
    """The reserved domain `base`: the base's own head, with weight 1. None where the base has no head."""
    from lorb_adapters.lora.weights import base_only_weights
    from lorb_adapters.store.adapter import weights_digest

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
    on_device = weights.to(base.device, base.dtype)
    adapter = AdapterHandle(
        ref=AdapterRef(BASE_DOMAIN, f"1-{digest[:12]}", digest),
        ranking=ranking,
        normalization=TextNormalization(),
        uses_context=False,
        size_bytes=on_device.size_bytes,
    )
    return adapter, on_device


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Which adapters a call has to do with, pinned when it is admitted.

    Attributes:
        adapter: the one that answers.
        stable: what to fall back to where `adapter` is the canary and fails; None elsewhere.
        shadow: to be compared with in idle time; None where there is none, or where the call named an alias or version.
    """

    adapter: AdapterHandle
    stable: AdapterHandle | None = None
    shadow: AdapterHandle | None = None
