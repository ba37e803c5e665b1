"""lorb.error_status: every error maps to a gRPC status and back."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyDetail
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from lorb import error_status, errors
from lorb.error_status import (
    error_from_rpc,
    error_from_status,
    error_from_status_message,
    status_code,
    status_from_error,
    trailing_metadata,
)
from lorb.errors import (
    DeadlineExceeded,
    InvalidInput,
    LorbError,
    MalformedFile,
    ModelFailed,
    Overloaded,
    StoreConflict,
    Unauthenticated,
    Unavailable,
    UnknownDomain,
)

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LorbError)),
    key=lambda kind: kind.__name__,
)
SENDABLE = [kind for kind in KINDS if kind is not MalformedFile]


class FailedCall(grpc.RpcError):
    """A failed call with the methods of grpc's errors."""

    def __init__(self, code, details, metadata):
        self._parts = code, details, metadata

    def code(self):
        """The status code."""
        return self._parts[0]

    def details(self):
        """The message."""
        return self._parts[1]

    def trailing_metadata(self):
        """The trailing metadata."""
        return self._parts[2]


def detail(error, kind):
    """Returns the detail of type `kind` of an error's status, or None."""
    found = kind()
    return found if any(each.Unpack(found) for each in status_from_error(error).details) else None


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_row_in_the_table(kind):
    """Each error class of lorb.errors has its own status in the table."""
    assert kind in error_status._STATUS_OF_ERROR


def test_no_two_errors_share_a_reason():
    """All reasons differ, apart from MalformedFile, which travels as InvalidInput."""
    reasons = [reason for kind, (_, reason) in error_status._STATUS_OF_ERROR.items() if kind is not MalformedFile]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", SENDABLE)
def test_an_error_survives_the_conversion_to_a_status(kind):
    """Type, message and field are equal after a conversion to a status message or to trailing metadata and back."""
    error = kind("what is wrong and what to do", field="hypotheses[3].transcript")
    call = FailedCall(status_code(error), error.message, trailing_metadata(error))
    for read in (error_from_status_message(status_from_error(error)), error_from_rpc(call)):
        assert (type(read), read.message, read.field) == (kind, error.message, error.field)


@pytest.mark.parametrize("kind", SENDABLE)
def test_every_status_has_an_error_info(kind):
    """Every status has an ErrorInfo with LoRB's domain and the reason of the error."""
    info = detail(kind("why"), ErrorInfo)
    assert (info.domain, info.reason) == ("lorb", error_status._STATUS_OF_ERROR[kind][1])


def test_invalid_input_names_its_field_in_a_bad_request():
    """InvalidInput gives a BadRequest with the field and the message."""
    violations = detail(InvalidInput("too long", field="context"), BadRequest).field_violations
    assert [(each.field, each.description) for each in violations] == [("context", "too long")]


def test_other_errors_have_no_bad_request():
    """Errors other than InvalidInput give no BadRequest."""
    assert detail(UnknownDomain("none", field="domain"), BadRequest) is None


@pytest.mark.parametrize("kind", [Overloaded, Unavailable])
def test_temporary_errors_have_a_retry_info(kind):
    """Only temporary errors have a RetryInfo, and its pause arrives in retry_seconds."""
    milliseconds = detail(kind("busy"), RetryInfo).retry_delay.ToMilliseconds()
    assert milliseconds > 0
    assert error_from_status_message(status_from_error(kind("busy"))).retry_seconds == milliseconds / 1000
    assert detail(ModelFailed("broken"), RetryInfo) is None
    assert error_from_status_message(status_from_error(ModelFailed("broken"))).retry_seconds is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
        (grpc.StatusCode.NOT_FOUND, UnknownDomain),
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.PERMISSION_DENIED, Unauthenticated),
        (grpc.StatusCode.ABORTED, StoreConflict),
        (grpc.StatusCode.INTERNAL, ModelFailed),
        (grpc.StatusCode.UNIMPLEMENTED, LorbError),
        (grpc.StatusCode.CANCELLED, LorbError),
    ],
)
def test_a_status_without_details_goes_by_its_code(code, kind):
    """A status without details becomes the error of its code."""
    error = error_from_rpc(FailedCall(code, "said gRPC", ()))
    assert (type(error), error.message) == (kind, "said gRPC")


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_becomes_an_error_with_a_message(code):
    """Every gRPC code becomes an error with a message."""
    assert error_from_status(code, "").message


def test_the_reason_of_another_service_is_ignored():
    """An ErrorInfo of another domain does not choose the error class."""
    foreign = AnyDetail()
    foreign.Pack(ErrorInfo(reason="OVERLOADED", domain="proxy.example"))
    assert type(error_from_status(grpc.StatusCode.NOT_FOUND, "x", [foreign])) is UnknownDomain


def test_an_unknown_reason_falls_back_to_the_code():
    """An unknown reason, of a newer server, falls back to the error of the code."""
    new = AnyDetail()
    new.Pack(ErrorInfo(reason="NEXT_YEAR", domain="lorb"))
    assert type(error_from_status(grpc.StatusCode.NOT_FOUND, "x", [new])) is UnknownDomain


def test_undecodable_details_fall_back_to_the_code():
    """Details that cannot be decoded fall back to the error of the code."""
    call = FailedCall(grpc.StatusCode.NOT_FOUND, "x", (("grpc-status-details-bin", b"\xff\xff\xff"),))
    assert type(error_from_rpc(call)) is UnknownDomain


@pytest.mark.parametrize("character", ["x", "ä", "\N{GRINNING FACE}"])
def test_a_long_message_fits_into_trailing_metadata(character):
    """A status with a message and field of any length stays below 8 KiB of metadata."""
    error = InvalidInput(character * 100_000, field=character * 100_000)
    sent = status_from_error(error)
    assert 3 * len(sent.message.encode()) + 4 / 3 * len(trailing_metadata(error)[0][1]) < 8192
    assert sent.message.endswith("...")
    assert type(error_from_status_message(sent)) is InvalidInput


def test_a_subclass_from_elsewhere_has_its_parents_status():
    """A subclass defined outside LoRB has the status of its parent."""

    class TooLoud(InvalidInput):
        pass

    assert status_code(TooLoud("hush")) is grpc.StatusCode.INVALID_ARGUMENT
