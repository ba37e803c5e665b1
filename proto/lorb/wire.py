"""Converts between protobuf messages and the types of lorb.nbest, lorb.ranked and lorb.server_info."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

from lorb.error_status import error_from_status_message, status_from_error
from lorb.errors import InvalidInput, LorbError
from lorb.names import check_label
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import (
    AdapterRef,
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    RescoreOptions,
    Selection,
    Timings,
)
from lorb.server_info import ServerInfo
from lorb.v1 import rescoring_pb2 as pb

MAX_TOP_N = 2**32 - 1

EnumMember = TypeVar("EnumMember", bound=Enum)


def _schema_numbers(kind: type[EnumMember], prefix: str) -> dict[EnumMember, int]:
    """Maps the members of a Python enum to the numbers of the protobuf enum. UNKNOWN is never sent: it has none."""
    return {member: int(getattr(pb, f"{prefix}_{member.name}")) for member in kind if member.name != "UNKNOWN"}


_POLICIES = _schema_numbers(FallbackPolicy, "FALLBACK_POLICY")
_SELECTIONS = _schema_numbers(Selection, "SELECTION")
_OUTCOMES = _schema_numbers(Outcome, "OUTCOME")
_REASONS = _schema_numbers(FallbackReason, "FALLBACK_REASON")

_POLICY_OF = {0: FallbackPolicy.DEGRADE} | {number: policy for policy, number in _POLICIES.items()}
_SELECTION_OF = {0: Selection.MAP} | {number: selection for selection, number in _SELECTIONS.items()}
_OUTCOME_OF = {number: outcome for outcome, number in _OUTCOMES.items()}
_REASON_OF: Mapping[int, FallbackReason | None] = {0: None} | {n: reason for reason, n in _REASONS.items()}


def nbest_from_request(request: pb.RescoreRequest) -> NBest:
    """Reads the list of a request. Its request_id is the list's id. Raises InvalidInput that names the wrong field."""
    return NBest(
        hypotheses=tuple(_hypothesis(i, message) for i, message in enumerate(request.hypotheses)),
        id=check_label(request.request_id, "request_id"),
        context=request.context,
    )


def options_from_request(request: pb.RescoreRequest) -> RescoreOptions:
    """Reads the options of a request. Raises InvalidInput that names the wrong field."""
    return check_options(
        RescoreOptions(
            domain=request.domain,
            rescoring_weight=request.rescoring_weight if request.HasField("rescoring_weight") else None,
            fallback_policy=_request_enum(_POLICY_OF, request.fallback_policy, "fallback_policy"),
            top_n=request.top_n,
            selection=_request_enum(_SELECTION_OF, request.selection, "selection"),
            routing_key=request.routing_key,
        )
    )


def check_options(options: RescoreOptions) -> RescoreOptions:
    """Returns `options` if all are valid. Raises InvalidInput that names the field otherwise."""
    check_label(options.domain, "domain")
    check_label(options.routing_key, "routing_key")
    weight = options.rescoring_weight
    if weight is not None and not (math.isfinite(weight) and weight >= 0):
        raise InvalidInput(
            f"rescoring_weight is {weight}: send a finite number, 0 or more, or leave it out",
            field="rescoring_weight",
        )
    if not 0 <= options.top_n <= MAX_TOP_N:
        raise InvalidInput(f"top_n is {options.top_n}: send 0 for all hypotheses, or a positive count", field="top_n")
    return options


def request_from_nbest(nbest: NBest, options: RescoreOptions) -> pb.RescoreRequest:
    """Builds the request for a list. Raises InvalidInput if a value cannot be sent."""
    check_options(options)
    return pb.RescoreRequest(
        request_id=_utf8(check_label(nbest.id, "request_id"), "request_id"),
        domain=_utf8(options.domain, "domain"),
        hypotheses=[_hypothesis_message(i, hypothesis) for i, hypothesis in enumerate(nbest.hypotheses)],
        rescoring_weight=options.rescoring_weight,
        fallback_policy=_POLICIES[options.fallback_policy],  # type: ignore[arg-type]
        top_n=options.top_n,
        context=_utf8(nbest.context, "context"),
        selection=_SELECTIONS[options.selection],  # type: ignore[arg-type]
        routing_key=_utf8(options.routing_key, "routing_key"),
    )


def response_from_ranked(ranked: Ranked) -> pb.RescoreResponse:
    """Builds the response that carries a result."""
    return pb.RescoreResponse(
        request_id=ranked.id,
        hypotheses=[_ranked_message(hypothesis) for hypothesis in ranked.hypotheses],
        outcome=_OUTCOMES[ranked.outcome],  # type: ignore[arg-type]
        fallback_reason=_REASONS[ranked.fallback_reason] if ranked.fallback_reason else 0,  # type: ignore[arg-type]
        adapter=_adapter_message(ranked.adapter),
        timings=pb.Timings(
            total_seconds=ranked.timings.total_seconds,
            tokenize_seconds=ranked.timings.tokenize_seconds,
            queue_seconds=ranked.timings.queue_seconds,
            infer_seconds=ranked.timings.infer_seconds,
        ),
    )


def ranked_from_response(response: pb.RescoreResponse) -> Ranked:
    """Reads the result of a response. Enum values of newer servers become UNKNOWN. Raises LorbError without outcome."""
    if response.outcome == pb.OUTCOME_UNSPECIFIED:
        raise LorbError("the answer has no outcome: report this as a bug of the server", field="outcome")
    timings = response.timings
    return Ranked(
        hypotheses=tuple(_ranked_hypothesis(message) for message in response.hypotheses),
        outcome=_OUTCOME_OF.get(response.outcome, Outcome.UNKNOWN),
        id=response.request_id,
        fallback_reason=_REASON_OF.get(response.fallback_reason, FallbackReason.UNKNOWN),
        adapter=_adapter_ref(response.adapter) if response.HasField("adapter") else None,
        timings=Timings(timings.total_seconds, timings.tokenize_seconds, timings.queue_seconds, timings.infer_seconds),
    )


def batch_from_lists(lists: Iterable[NBest], options: RescoreOptions) -> pb.BatchRescoreRequest:
    """Builds one request for many lists with the same options. Raises InvalidInput if a value cannot be sent."""
    return pb.BatchRescoreRequest(requests=[request_from_nbest(nbest, options) for nbest in lists])


def batch_result(result: Ranked | LorbError) -> pb.BatchRescoreResult:
    """Builds the result of one list of a batch: the re-ranked list, or the status that Rescore would return."""
    if isinstance(result, LorbError):
        return pb.BatchRescoreResult(error=status_from_error(result))
    return pb.BatchRescoreResult(response=response_from_ranked(result))


def results_from_batch(response: pb.BatchRescoreResponse, num_lists: int) -> list[Ranked | LorbError]:
    """Reads the results of a batch, in order. Raises LorbError unless there are `num_lists` results."""
    if len(response.results) != num_lists:
        raise LorbError(f"the server answered {len(response.results)} of {num_lists} lists: report this as a bug")
    return [_answer_from_result(result) for result in response.results]


def response_from_info(info: ServerInfo) -> pb.GetServerInfoResponse:
    """Builds the response that carries a server's description."""
    return pb.GetServerInfoResponse(**dataclasses.asdict(info))


def info_from_response(response: pb.GetServerInfoResponse) -> ServerInfo:
    """Reads a server's description."""
    fields = {field.name: getattr(response, field.name) for field in dataclasses.fields(ServerInfo)}
    return ServerInfo(**fields | {"domains": tuple(response.domains)})


def _hypothesis(i: int, message: pb.Hypothesis) -> Hypothesis:
    for name in message.component_scores:
        check_label(name, f"hypotheses[{i}].component_scores")
    try:
        return Hypothesis(
            message.transcript,
            message.first_pass_score if message.HasField("first_pass_score") else None,
            dict(message.component_scores),
        )
    except InvalidInput as error:
        place = f"hypotheses[{i}]."
        raise InvalidInput(place + error.message, field=place + error.field) from None


def _hypothesis_message(i: int, hypothesis: Hypothesis) -> pb.Hypothesis:
    scores = hypothesis.component_scores
    return pb.Hypothesis(
        transcript=_utf8(hypothesis.transcript, f"hypotheses[{i}].transcript"),
        first_pass_score=hypothesis.first_pass_score,
        component_scores={_utf8(name, f"hypotheses[{i}].component_scores"): score for name, score in scores.items()},
    )


def _ranked_message(hypothesis: RankedHypothesis) -> pb.RescoredHypothesis:
    return pb.RescoredHypothesis(
        index=hypothesis.index,
        transcript=hypothesis.transcript,
        combined_score=hypothesis.combined_score,
        rescoring_score=hypothesis.rescoring_score,
        posterior=hypothesis.posterior,
        truncated=hypothesis.truncated,
        component_scores=hypothesis.component_scores,
    )


def _ranked_hypothesis(message: pb.RescoredHypothesis) -> RankedHypothesis:
    return RankedHypothesis(
        index=message.index,
        transcript=message.transcript,
        combined_score=message.combined_score if message.HasField("combined_score") else None,
        rescoring_score=message.rescoring_score if message.HasField("rescoring_score") else None,
        posterior=message.posterior if message.HasField("posterior") else None,
        truncated=message.truncated,
        component_scores=dict(message.component_scores),
    )


def _answer_from_result(result: pb.BatchRescoreResult) -> Ranked | LorbError:
    if not result.HasField("response"):
        return error_from_status_message(result.error)
    try:
        return ranked_from_response(result.response)
    except LorbError as error:  # the other answers of the batch are good
        return error


def _adapter_message(adapter: AdapterRef | None) -> pb.AdapterRef | None:
    if adapter is None:
        return None
    return pb.AdapterRef(domain=adapter.domain, version=adapter.version, digest=adapter.digest)


def _adapter_ref(message: pb.AdapterRef) -> AdapterRef:
    return AdapterRef(message.domain, message.version, message.digest)


def _request_enum(members: Mapping[int, EnumMember], number: int, field: str) -> EnumMember:
    """Reads an enum value of a request. proto3 accepts any number, so unknown numbers are refused here."""
    if number not in members:
        raise InvalidInput(f"{field} is {number}, which this server does not know", field=field)
    return members[number]


def _utf8(text: str, field: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{field} holds a lone surrogate at position {error.start}, which UTF-8 cannot encode",
            field=field,
        ) from None
    return text
