"""Rescoring options and results: the re-ranked list, its outcome, the adapter used, and timings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FallbackPolicy(Enum):
    """What the server does if it cannot rescore a list in time, or has no room for it."""

    DEGRADE = "degrade"
    """Rescore only some hypotheses, or none. `Ranked.outcome` says which."""

    FAIL = "fail"
    """Raise Overloaded or DeadlineExceeded."""


class Selection(Enum):
    """How the server chooses the best hypothesis."""

    MAP = "map"
    """The hypothesis with the highest combined score (maximum a posteriori)."""

    MBR = "mbr"
    """The hypothesis with the lowest expected number of word errors (minimum Bayes risk). The expectation is over the
    32 likeliest hypotheses, weighted by their posteriors."""


class Outcome(Enum):
    """How much of a list was rescored."""

    RESCORED = "rescored"
    """All hypotheses were rescored. A list with one distinct text needs no model and has no rescoring scores."""

    PARTIAL = "partial"
    """The likeliest hypotheses by first pass were rescored; the rest follow in first-pass order, without scores."""

    FIRST_PASS = "first_pass"  # noqa: S105 - not a password
    """No hypothesis was rescored: the list is in first-pass order."""

    UNKNOWN = "unknown"
    """A newer server sent an outcome that this release does not know. The order of the answer is valid. Never sent."""


class FallbackReason(Enum):
    """Why a list was not rescored in full."""

    QUEUE_FULL = "queue_full"
    """The server's queue had no room."""

    DEADLINE = "deadline"
    """The call's deadline would have passed before the scores were ready."""

    INVALID_SCORE = "invalid_score"
    """The model produced a score that is not finite."""

    UNKNOWN = "unknown"
    """A newer server sent a reason that this release does not know. The order of the answer is valid. Never sent."""


@dataclass(frozen=True, slots=True)
class RescoreOptions:
    """Options of a rescoring call.

    Attributes:
        domain: "name" or "name@alias"; also "name@version" if the server allows it. Empty: the server's default domain.
        rescoring_weight: weight of the rescoring score (beta), finite and 0 or more; 0 keeps the first-pass ranking.
            None: the weight that was tuned with the adapter.
        fallback_policy: what to do if the server runs out of time or room.
        top_n: maximum number of hypotheses to return; 0 returns all.
        selection: how the best hypothesis is chosen.
        routing_key: speaker or call id, at most 256 characters. While a canary runs, calls with the same key get the
            same version. Empty: the request id is used.
    """

    domain: str = ""
    rescoring_weight: float | None = None
    fallback_policy: FallbackPolicy = FallbackPolicy.DEGRADE
    top_n: int = 0
    selection: Selection = Selection.MAP
    routing_key: str = ""


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """The adapter version that ranked a list.

    Attributes:
        domain: the domain's name.
        version: the full version id, such as 3-0123456789ab.
        digest: sha256 of the adapter's weights, in hex.
    """

    domain: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Time that the server spent on a call, in seconds.

    Attributes:
        total_seconds: time from the decoding of the request to the encoding of the answer.
        tokenize_seconds: time for tokenising the texts.
        queue_seconds: time that the list waited for the model.
        infer_seconds: time of the forward pass that scored the list. All lists in a batch share one pass.
    """

    total_seconds: float = 0.0
    tokenize_seconds: float = 0.0
    queue_seconds: float = 0.0
    infer_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedHypothesis:
    """One hypothesis of a re-ranked list.

    Attributes:
        index: position in the request, from 0.
        transcript: the text as sent.
        combined_score: first_pass_score + weight * rescoring_score, a natural log, higher is better; None if the
            hypothesis was not rescored.
        rescoring_score: the model's score, a natural log, higher is better; None if the hypothesis was not rescored.
        posterior: probability of the text among the distinct rescored texts, 0 to 1; 0 for further copies of a text;
            None if the hypothesis was not rescored.
        truncated: whether the text was too long for the model, so that only its beginning was scored.
        component_scores: the component scores as sent.
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
    """A re-ranked list. Rely on its order: with a switching margin or MBR, the best hypothesis may have a lower score.

    Attributes:
        hypotheses: the hypotheses, best first: at most `RescoreOptions.top_n`, or all if top_n is 0.
        outcome: how much of the list was rescored.
        id: the request's id.
        fallback_reason: why the list was not rescored in full; None if it was rescored in full.
        adapter: the adapter version, chosen when the server admitted the call; None if no adapter was used.
        timings: time spent on the server.
    """

    hypotheses: tuple[RankedHypothesis, ...]
    outcome: Outcome
    id: str = ""
    fallback_reason: FallbackReason | None = None
    adapter: AdapterRef | None = None
    timings: Timings = Timings()
