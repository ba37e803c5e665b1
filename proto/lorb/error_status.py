"""Maps LorbErrors to gRPC statuses and back.

The status of every LorbError carries google.rpc.ErrorInfo, with the reason, the domain "lorb" and the field. The status
of InvalidInput also carries BadRequest. The statuses of Overloaded and Unavailable also carry RetryInfo.

In the other direction, ErrorInfo.reason determines the class of the error. A status from gRPC itself or from a proxy
has no ErrorInfo of LoRB: its code determines the class.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyDetail
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from lorb.errors import (
    BaseNotFound,
    DeadlineExceeded,
    ForeignBase,
    InvalidAdapter,
    InvalidInput,
    LorbError,
    MalformedFile,
    ModelFailed,
    NotPublished,
    Overloaded,
    PermissionDenied,
    StoreConflict,
    StoreUnavailable,
    Unauthenticated,
    Unavailable,
    UnknownDomain,
    UnknownVersion,
)

ERROR_DOMAIN = "lorb"
DETAILS_KEY = "grpc-status-details-bin"

# Longer messages and fields are truncated, because HTTP/2 peers may refuse trailing metadata over 8 KiB. The metadata
# contains the message three times.
MAX_MESSAGE_BYTES = 800
MAX_FIELD_BYTES = 200

_Code = grpc.StatusCode

# A server never reads a caller's files, so MalformedFile is sent as its parent, InvalidInput.
_STATUS_OF_ERROR: Mapping[type[LorbError], tuple[grpc.StatusCode, str]] = {
    LorbError: (_Code.UNKNOWN, "UNKNOWN"),
    InvalidInput: (_Code.INVALID_ARGUMENT, "INVALID_INPUT"),
    MalformedFile: (_Code.INVALID_ARGUMENT, "INVALID_INPUT"),
    UnknownDomain: (_Code.NOT_FOUND, "UNKNOWN_DOMAIN"),
    UnknownVersion: (_Code.NOT_FOUND, "UNKNOWN_VERSION"),
    Unauthenticated: (_Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    PermissionDenied: (_Code.PERMISSION_DENIED, "PERMISSION_DENIED"),
    Overloaded: (_Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    DeadlineExceeded: (_Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    Unavailable: (_Code.UNAVAILABLE, "UNAVAILABLE"),
    ModelFailed: (_Code.INTERNAL, "MODEL_FAILED"),
    InvalidAdapter: (_Code.FAILED_PRECONDITION, "INVALID_ADAPTER"),
    ForeignBase: (_Code.FAILED_PRECONDITION, "FOREIGN_BASE"),
    BaseNotFound: (_Code.FAILED_PRECONDITION, "BASE_NOT_FOUND"),
    StoreConflict: (_Code.ABORTED, "STORE_CONFLICT"),
    StoreUnavailable: (_Code.UNAVAILABLE, "STORE_UNAVAILABLE"),
    NotPublished: (_Code.FAILED_PRECONDITION, "NOT_PUBLISHED"),
}

_RETRY_SECONDS: Mapping[type[LorbError], float] = {Overloaded: 0.1, Unavailable: 1.0}

_ERROR_OF_REASON: Mapping[str, type[LorbError]] = {
    reason: kind for kind, (_, reason) in _STATUS_OF_ERROR.items() if kind is not MalformedFile
}

# For statuses without LoRB's ErrorInfo: they come from gRPC itself, a proxy, or another server.
_ERROR_OF_CODE: Mapping[grpc.StatusCode, type[LorbError]] = {
    _Code.INVALID_ARGUMENT: InvalidInput,
    _Code.OUT_OF_RANGE: InvalidInput,
    _Code.NOT_FOUND: UnknownDomain,
    _Code.UNAUTHENTICATED: Unauthenticated,
    _Code.PERMISSION_DENIED: Unauthenticated,
    _Code.RESOURCE_EXHAUSTED: Overloaded,
    _Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    _Code.UNAVAILABLE: Unavailable,
    _Code.INTERNAL: ModelFailed,
    _Code.ABORTED: StoreConflict,
}

_CODE_OF_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Metadata = Sequence[tuple[str, str | bytes]]


class _FailedCall(Protocol):
    """Declares the methods that the errors of grpc and grpc.aio have. grpc.RpcError does not declare them."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Metadata | None: ...


def status_code(error: LorbError) -> grpc.StatusCode:
    """Returns the gRPC code of `error`. A class that is not in the table has the code of its nearest ancestor there."""
    return _status_of_class(type(error))[0]


def status_from_error(error: LorbError) -> Status:
    """Converts `error` to google.rpc.Status. A long message or field is truncated to fit into trailing metadata."""
    code, reason = _status_of_class(type(error))
    message = _truncated(error.message, MAX_MESSAGE_BYTES)
    field = _truncated(error.field, MAX_FIELD_BYTES)
    details: list[ErrorInfo | BadRequest | RetryInfo] = [
        ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata={"field": field} if field else {})
    ]
    if isinstance(error, InvalidInput):
        violation = BadRequest.FieldViolation(field=field, description=message)
        details.append(BadRequest(field_violations=[violation]))
    if type(error) in _RETRY_SECONDS:
        details.append(RetryInfo(retry_delay=_duration(_RETRY_SECONDS[type(error)])))
    return Status(code=code.value[0], message=message, details=[_as_any(detail) for detail in details])


def trailing_metadata(error: LorbError) -> tuple[tuple[str, bytes], ...]:
    """Returns the trailing metadata that carries the details of `error`, for `context.abort`."""
    return ((DETAILS_KEY, status_from_error(error).SerializeToString()),)


def error_from_status(code: grpc.StatusCode, message: str, details: Iterable[AnyDetail] = ()) -> LorbError:
    """Converts a status to an error.

    LoRB's ErrorInfo determines the class by its reason. If it is missing, the code determines the class.
    """
    kind = _ERROR_OF_CODE.get(code, LorbError)
    field = ""
    retry_seconds = None
    for detail in details:
        info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == ERROR_DOMAIN:
            kind = _ERROR_OF_REASON.get(info.reason, kind)
            field = field or info.metadata.get("field", "")
        elif detail.Is(BadRequest.DESCRIPTOR) and detail.Unpack(bad_request) and bad_request.field_violations:
            field = field or bad_request.field_violations[0].field
        elif detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    error = kind(message or f"the call failed with {code.name}", field=field)
    error.retry_seconds = retry_seconds
    return error


def error_from_status_message(status: Status) -> LorbError:
    """Converts a google.rpc.Status, such as the one in BatchRescoreResult, to an error."""
    code = _CODE_OF_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return error_from_status(code, status.message, status.details)


def error_from_rpc(error: grpc.RpcError) -> LorbError:
    """Converts the error of a failed grpc or grpc.aio call."""
    call = cast(_FailedCall, error)
    return error_from_status(call.code(), call.details() or "", _details(call.trailing_metadata() or ()))


def _status_of_class(kind: type[LorbError]) -> tuple[grpc.StatusCode, str]:
    return next(_STATUS_OF_ERROR[ancestor] for ancestor in kind.__mro__ if ancestor in _STATUS_OF_ERROR)


def _details(metadata: Metadata) -> Sequence[AnyDetail]:
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return tuple(Status.FromString(value).details)
            except DecodeError:  # a proxy wrote this value, so only the status code is usable
                return ()
    return ()


def _as_any(detail: ErrorInfo | BadRequest | RetryInfo) -> AnyDetail:
    packed = AnyDetail()
    packed.Pack(detail)
    return packed


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _truncated(text: str, max_bytes: int) -> str:
    encoded = text.encode("utf-8", errors="replace")
    if len(encoded) <= max_bytes:
        return encoded.decode("utf-8")
    return encoded[: max_bytes - 3].decode("utf-8", errors="ignore") + "..."
