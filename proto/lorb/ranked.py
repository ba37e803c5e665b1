"""The answer: a list in its new order, with what was done and by which adapter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FallbackPolicy(Enum):
    """What to do when a list cannot be rescored in time or for want of room."""

    DEGRADE = "degrade"
    FAIL = "fail"


class Selection(Enum):
    """How the best hypothesis is chosen: highest combined score, or minimum Bayes risk."""

    MAP = "map"
    MBR = "mbr"


class Outcome(Enum):
    """What was done to a list."""

    RESCORED = "rescored"
    PARTIAL = "partial"
    FIRST_PASS = "first_pass"  # noqa: S105 - a pass of a recogniser


class FallbackReason(Enum):
    """Why a list was not rescored in full."""

    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline"
    INVALID_SCORE = "invalid_score"


@dataclass(frozen=True, slots=True)
class RescoreOptions:
    """What a caller asks for besides the list. Fields as in RescoreRequest; `top_n` 0 means all."""

    domain: str = ""
    rescoring_weight: float | None = None
    fallback_policy: FallbackPolicy = FallbackPolicy.DEGRADE
    top_n: int = 0
    selection: Selection = Selection.MAP
    routing_key: str = ""


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """Which adapter ranked a list. `digest` is the sha256 of its weights, in hex."""

    domain: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a call's time went. Seconds."""

    total_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    queue_seconds: float = 0.0
    infer_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedHypothesis:
    """One hypothesis of an answer.

    Attributes:
        index: its position in the request, from 0.
        transcript: as sent.
        combined_score: first pass + weight * rescoring; natural log; None where not rescored.
        rescoring_score: the model's; natural log scale; None where not rescored.
        posterior: among the distinct rescored texts; 0 for copies; None where not rescored.
        truncated: only the text's beginning was scored.
        component_scores: as sent.
    """

    index: int
    transcript: str
    combined_score: float | None = None
    rescoring_score: float | None = None
    posterior: float | None = None
    truncated: bool = False
    component_scores: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A re-ranked list, best first. The order is authoritative, the scores explain it.

    Attributes:
        hypotheses: best first; the first `top_n` of them where the caller asked for fewer.
        outcome: what was done.
        id: the request's.
        fallback_reason: why it was not done in full; None where it was.
        adapter: the version pinned when the call was admitted.
        timings: where the time went.
    """

    hypotheses: tuple[RankedHypothesis, ...]
    outcome: Outcome
    id: str = ""
    fallback_reason: FallbackReason | None = None
    adapter: AdapterRef | None = None
    timings: Timings = Timings()
