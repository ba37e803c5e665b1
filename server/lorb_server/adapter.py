"""Describes adapters and the base without their weights. Does not import torch, so that a front process starts fast."""

from dataclasses import dataclass

from lorb.errors import ModelFailed, StoreUnavailable, Unavailable
from lorb.ranked import AdapterRef
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization

# Load errors that are not the version's fault: the version is not refused, and can be loaded later.
TRANSIENT_ERRORS = (StoreUnavailable, ModelFailed, Unavailable)

# The golden lists of versions that are verified at once share passes of the model, and files are read meanwhile. Each
# load holds the files of its version in memory.
MAX_CONCURRENT_LOADS = 8


@dataclass(frozen=True, slots=True)
class BaseInfo:
    """The identity of the base model, as GetServerInfo reports it.

    Attributes:
        name: the base's name, or its folder.
        fingerprint: identifies the base's weights and tokenizer.
        device: the device's name in torch.
        dtype: the number format's name in torch, without "torch.".
    """

    name: str
    fingerprint: str
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class AdapterHandle:
    """A verified adapter without its weights; `engine.adapter_cache` holds the weights, and may evict them.

    The weights of an adapter that has been removed stay on the device as long as a call holds the handle.

    Attributes:
        ref: the adapter's domain, version and digest, which every answer carries.
        ranking: the settings of the ranking: weight, rank prior, posterior scale and switching margin.
        normalization: how transcripts are changed before the adapter reads them.
        uses_context: whether the adapter reads the preceding turn.
        training_score_mean: mean first-pass score in the adapter's training data, natural log; None if it has none.
        training_score_deviation: standard deviation of these scores; None if the training data has none.
        size_bytes: bytes of the adapter's weights; the copies of them that the server caches are not counted.
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
    """The adapters of a call, chosen once, when the call is admitted.

    Attributes:
        adapter: the adapter that answers.
        stable: the adapter to use if `adapter` is a canary and fails; None if `adapter` is not a canary.
        shadow: when the model is idle, this adapter scores the list too, so that the two rankings can be compared. None
            if the domain has no shadow loaded, if a canary answers, or if the call named an alias or a version.
        alias: "stable" or "canary" if the domain's canary takes a share of calls like this one; else "". Results are
            compared by this alias.
    """

    adapter: AdapterHandle
    stable: AdapterHandle | None = None
    shadow: AdapterHandle | None = None
    alias: str = ""
