"""Defines a call, its priority, its result, and the protocol of an object that scores calls."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lorb.nbest import DistinctHypothesis, NBest
from lorb.ranked import FallbackPolicy, RescoreOptions
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle, Route

if TYPE_CHECKING:  # a front does not import torch
    from lorb_adapters.lora.weights import AdapterWeights

MINIMUM_PARTIAL_HYPOTHESES = 2  # a single score gives no ranking


class Priority(enum.Enum):
    """The order in which the model serves lists. The values are those of the metrics' label `lane`."""

    INTERACTIVE = "single"  # a Rescore call
    BATCH = "bulk"  # one list of a BatchRescore call
    IDLE = "idle"  # a shadow comparison: scored only while nothing else waits
    VERIFICATION = "verification"  # hypotheses of golden lists, before an adapter serves; the lists have no deadline


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """One list to score.

    The process that answers a list holds it as a RescoreCall. If that process is a front, the engine process gets a
    plain Call: the front sends token ids over the socket, but no texts.

    Attributes:
        adapter: the adapter that scores the list, chosen when the call was admitted.
        answer_by: the deadline of the answer; seconds on the monotonic clock.
        priority: decides which lists the model scores before this one.
        may_be_partial: whether the caller accepts scores of only the first hypotheses, at least
            MINIMUM_PARTIAL_HYPOTHESES of them.
        hypotheses: the list's distinct texts, tokenised, in first-pass order; empty before tokenisation.
        caller: name of the authenticated caller, whose scores the cache keeps apart from others'; "" without one.
        weights: the adapter's weights, held from the admission on, in case they are evicted; None if they were not on
            the device, and in a front.
    """

    adapter: AdapterHandle
    answer_by: float
    priority: Priority = Priority.INTERACTIVE
    may_be_partial: bool = False
    hypotheses: Sequence[EncodedHypothesis] = ()
    caller: str = ""
    weights: "AdapterWeights | None" = None


@dataclass(slots=True, eq=False, kw_only=True)
class RescoreCall(Call):
    """A call with the list and options that its caller sent, in the process that answers it.

    Attributes:
        nbest: the list.
        options: the request's options.
        route: the adapters of the call, chosen when the call was admitted.
        adapter: `route.adapter`, or `route.stable` after the canary has failed.
        distinct: the list's distinct texts, in first-pass order.
        started_at: when the request arrived; seconds on the monotonic clock.
        decoded_at, tokenized_at, scored_at: when each stage ended; seconds on the monotonic clock. Until its stage
            ends, `decoded_at` equals `started_at`, `tokenized_at` is 0, and `scored_at` is None.
        tokenize_seconds: how long tokenisation took; 0 before its end.
    """

    nbest: NBest
    options: RescoreOptions
    route: Route
    started_at: float
    adapter: AdapterHandle = field(init=False)
    may_be_partial: bool = field(init=False)
    hypotheses: Sequence[EncodedHypothesis] = field(default=(), init=False)
    distinct: tuple[DistinctHypothesis, ...] = field(init=False)
    decoded_at: float = field(init=False)
    tokenized_at: float = field(default=0.0, init=False)
    scored_at: float | None = field(default=None, init=False)
    tokenize_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.adapter = self.route.adapter
        self.may_be_partial = self.options.fallback_policy is not FallbackPolicy.FAIL
        self.distinct = self.nbest.distinct()
        self.decoded_at = self.started_at

    @property
    def compared_alias(self) -> str:
        """The alias for which the call's result counts; "" if there is none, or if the canary has failed."""
        return self.route.alias if self.adapter is self.route.adapter else ""


@dataclass(frozen=True, slots=True)
class Scored:
    """The result of a call.

    Attributes:
        scores: the rescoring scores of the first k hypotheses; natural log scale, higher is better. k is less
            than the number of hypotheses only if the call may be partial.
        queue_seconds: the time that the list waited for the model.
        infer_seconds: the duration of the batch that held the list.
        num_cached: how many of `scores` come from the score cache.
    """

    scores: tuple[float, ...]
    queue_seconds: float
    infer_seconds: float
    num_cached: int = 0


class ListScorer(Protocol):
    """Scores lists: in this process (`engine.scorer`), or in the engine process (`fronts.engine_link`)."""

    def check_admission(self, call: Call, minimum_tokens: int) -> None:
        """Raises an error if the list will certainly be refused. Called before tokenisation. May set `call.weights`.

        `minimum_tokens` is a lower bound for the number of tokens that must be scored for an answer. Raises Overloaded
        if the queue is full, DeadlineExceeded if the list would be late, and Unavailable if the engine has ended.
        """

    async def score(self, call: Call) -> Scored:
        """Scores a tokenised list. Cancelling the task takes the list out of the queue.

        Raises Overloaded if the queue is full, DeadlineExceeded if the list would be late, ModelFailed if the model
        fails, and Unavailable if the engine cannot take the list. If the adapter's weights must be reloaded, raises the
        LorbError of a failed reload.
        """
