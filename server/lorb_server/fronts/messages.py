"""Encodes and decodes the bodies of frames with msgspec: jobs, scores, errors, routes and adapters without weights."""

import math
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from lorb import errors
from lorb.errors import InvalidInput, LorbError, MalformedFile
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle, Route
from lorb_server.call import Call, Priority
from lorb_server.fronts.frames import ProtocolError

Message = TypeVar("Message")

_ERRORS: dict[str, type[LorbError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LorbError) and kind is not MalformedFile
}


class _Job(msgspec.Struct, frozen=True, array_like=True):
    adapter_number: int
    priority: Priority
    may_be_partial: bool
    answer_by: float
    caller: str
    hypotheses: tuple[EncodedHypothesis, ...]


class _NumberedAdapter(msgspec.Struct, frozen=True, array_like=True):
    number: int
    adapter: AdapterHandle


class _NumberedRoute(msgspec.Struct, frozen=True, array_like=True):
    state: int
    is_fixed: bool
    alias: str
    adapter: _NumberedAdapter
    stable: _NumberedAdapter | None
    shadow: _NumberedAdapter | None


encode = msgspec.msgpack.encode


def decode(body: bytes, kind: type[Message]) -> Message:
    """A message of this type. Raises ProtocolError if the bytes are not one."""
    try:
        message: Message = _decoder(cast(Hashable, kind)).decode(body)
    except (msgspec.DecodeError, ValueError, LorbError):  # ValueError: text that is not UTF-8
        raise ProtocolError(f"a body of {len(body)} bytes is not a valid {kind}") from None
    return message


def encode_job(call: Call, adapter_number: int) -> bytes:
    """A tokenised call as a job for the engine process, which knows the call's adapter by `adapter_number`."""
    hypotheses = tuple(call.hypotheses)
    return encode(_Job(adapter_number, call.priority, call.may_be_partial, call.answer_by, call.caller, hypotheses))


def decode_job(body: bytes, adapter: Callable[[int], AdapterHandle]) -> Call:
    """The call from an encoded job. `adapter` returns the adapter with a number, or raises a LorbError.

    Raises ProtocolError if the bytes are not an encoded job.
    """
    job = decode(body, _Job)
    if math.isnan(job.answer_by):
        raise ProtocolError("a job has the deadline NaN")
    for row in job.hypotheses:
        if not len(row.type_ids) == row.num_tokens > row.scored_from >= 0:
            raise ProtocolError(
                f"a hypothesis of {row.num_tokens} tokens cannot be scored from token {row.scored_from}"
            )
    return Call(
        adapter=adapter(job.adapter_number),
        answer_by=job.answer_by,
        priority=job.priority,
        may_be_partial=job.may_be_partial,
        hypotheses=job.hypotheses,
        caller=job.caller,
    )


def encode_error(error: LorbError) -> bytes:
    """An error's type, message and field. A MalformedFile becomes an InvalidInput with the same message."""
    kind = InvalidInput if isinstance(error, MalformedFile) else type(error)
    return encode((kind.__name__, _text(error.message), _text(error.field)))


def decode_error(body: bytes) -> LorbError:
    """The error from bytes. Raises ProtocolError if the bytes are not an encoded error."""
    kind, message, field = decode(body, tuple[str, str, str])
    if kind not in _ERRORS:
        raise ProtocolError("an error has an unknown type")
    return _ERRORS[kind](message, field=field)


def encode_route(route: Route, number: Callable[[AdapterHandle], int], *, state: int, is_fixed: bool) -> bytes:
    """A route and its adapters.

    `number` returns the number by which the front may name an adapter.
    `state` is the number of the engine's state when the route was chosen. `is_fixed` says whether the route is the same
    for every routing key in this state.
    """
    adapter = _NumberedAdapter(number(route.adapter), route.adapter)
    stable = None if route.stable is None else _NumberedAdapter(number(route.stable), route.stable)
    shadow = None if route.shadow is None else _NumberedAdapter(number(route.shadow), route.shadow)
    return encode(_NumberedRoute(state, is_fixed, route.alias, adapter, stable, shadow))


def decode_route(body: bytes, known: Callable[[int, AdapterHandle], AdapterHandle]) -> tuple[Route, int, bool]:
    """Returns (route, state, is_fixed): the arguments of `encode_route`.

    `known` takes an adapter's number and its decoded handle, and returns the handle to use instead. Raises
    ProtocolError if the bytes are not an encoded route.
    """
    route = decode(body, _NumberedRoute)
    stable = None if route.stable is None else known(route.stable.number, route.stable.adapter)
    shadow = None if route.shadow is None else known(route.shadow.number, route.shadow.adapter)
    adapter = known(route.adapter.number, route.adapter.adapter)
    return Route(adapter, stable, shadow, route.alias), route.state, route.is_fixed


def _text(text: str) -> str:
    """The text without surrogates, which the name of a file may have and UTF-8 has not."""
    return text.encode(errors="replace").decode()


@cache
def _decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cast(type[Any], kind))
