"""Describes adapters and the base without their weights. Imports no torch, so that a front process starts fast."""

from dataclasses import dataclass

from lorb.errors import ModelFailed, StoreUnavailable, Unavailable
from lorb.ranked import AdapterRef
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization

# Errors that are not the fault of the version being loaded: it is not refused, and loading it may be tried again.
TRANSIENT_ERRORS = (StoreUnavailable, ModelFailed, Unavailable)


@dataclass(frozen=True, slots=True)
class BaseInfo:
    """The identity of the base model, as GetServerInfo reports it.

    Attributes:
        name: the base's name, or its folder.
        fingerprint: identifies its weights and tokenizer.
        device, dtype: as torch writes them, without "torch.".
    """

    name: str
    fingerprint: str
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, eq=False)
class AdapterHandle:
    """A verified adapter without its weights, which `engine.adapter_cache` holds and may evict.

    Attributes:
        ref: its identity, which every answer carries.
        ranking: weight, rank prior, posterior scale and switching margin.
        normalization: how it reads transcripts.
        uses_context: whether it reads the preceding turn.
        training_score_mean: mean of the first-pass scores that it was trained on, natural log; None if there were none.
        training_score_deviation: their standard deviation; None if there were none.
        size_bytes: memory of its weights on the device.
    """

    ref: AdapterRef
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    training_score_mean: float | None = None
    training_score_deviation: float | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """The adapters of a call, pinned when it is admitted.

    Attributes:
        adapter: the adapter that answers.
        stable: the fallback if `adapter` is a canary and fails; None if `adapter` is not a canary.
        shadow: the adapter to compare with in idle time; None if the domain has none, or the call named an alias or a
            version.
    """

    adapter: AdapterHandle
    stable: AdapterHandle | None = None
    shadow: AdapterHandle | None = None
