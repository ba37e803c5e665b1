"""Encodes and decodes calls and scores as packed fields and arrays of numbers, and errors as JSON."""

import json
import math
import struct
from array import array
from itertools import chain

from lorb import errors
from lorb.errors import InvalidInput, LorbError, MalformedFile
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle
from lorb_server.call import Call, Priority, Scored
from lorb_server.fronts.frames import ProtocolError

# adapter number, priority, may_be_partial, answer_by, number of bytes in the caller's name, number of hypotheses
_JOB = struct.Struct("=IBBdII")
_SCORED = struct.Struct("=ddII")  # queue_seconds, infer_seconds, num_cached, number of scores
_UINT32, _UINT32_BYTES = "I", array("I").itemsize
_PRIORITIES = tuple(Priority)
_PRIORITY_NUMBERS = {priority: number for number, priority in enumerate(_PRIORITIES)}

_ERRORS: dict[str, type[LorbError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LorbError) and kind is not MalformedFile
}


def encode_job(call: Call, adapter_number: int) -> bytes:
    """A tokenised call as a job for the engine process, which knows the call's adapter by `adapter_number`."""
    rows = call.hypotheses
    caller = call.caller.encode()
    head = _JOB.pack(
        adapter_number,
        _PRIORITY_NUMBERS[call.priority],
        call.may_be_partial,
        call.answer_by,
        len(caller),
        len(rows),
    )
    sizes = array(_UINT32, [row.num_tokens for row in rows])
    starts = array(_UINT32, [row.scored_from for row in rows])
    token_ids = array(_UINT32, chain.from_iterable(row.token_ids for row in rows))
    type_ids = bytes(chain.from_iterable(row.type_ids for row in rows))
    truncated = bytes(row.truncated for row in rows)
    return b"".join((head, caller, sizes.tobytes(), starts.tobytes(), truncated, token_ids.tobytes(), type_ids))


def adapter_number(body: bytes) -> int:
    """The adapter number of an encoded job. Raises ProtocolError if the bytes are too short for a job."""
    return int(_unpack(_JOB, body)[0])


def decode_job(body: bytes, adapter: AdapterHandle) -> Call:
    """The call from an encoded job. Raises ProtocolError if the bytes are not an encoded job."""
    _, priority, may_be_partial, answer_by, caller_bytes, num_rows = _unpack(_JOB, body)
    if priority >= len(_PRIORITIES) or math.isnan(answer_by):
        raise ProtocolError(f"a job has priority {priority} and deadline {answer_by}")
    caller_end = _JOB.size + caller_bytes
    sizes_end = caller_end + num_rows * _UINT32_BYTES
    starts_end = sizes_end + num_rows * _UINT32_BYTES
    truncated_end = starts_end + num_rows
    sizes = _integers(body[caller_end:sizes_end])
    num_tokens = sum(sizes)
    tokens_end = truncated_end + num_tokens * _UINT32_BYTES
    if len(sizes) != num_rows or len(body) != tokens_end + num_tokens:
        raise ProtocolError(f"a job of {len(body)} bytes cannot have {num_rows} hypotheses and {num_tokens} tokens")
    rows = _rows(
        sizes,
        _integers(body[sizes_end:starts_end]),
        body[starts_end:truncated_end],
        _integers(body[truncated_end:tokens_end]),
        body[tokens_end:],
    )
    return Call(
        adapter=adapter,
        answer_by=answer_by,
        priority=_PRIORITIES[priority],
        may_be_partial=bool(may_be_partial),
        hypotheses=rows,
        caller=body[_JOB.size : caller_end].decode(errors="replace"),
    )


def encode_scored(scored: Scored) -> bytes:
    """The result of a job as bytes."""
    scores = array("d", scored.scores)
    return _SCORED.pack(scored.queue_seconds, scored.infer_seconds, scored.num_cached, len(scores)) + scores.tobytes()


def decode_scored(body: bytes) -> Scored:
    """The result from bytes. Raises ProtocolError if the bytes are not an encoded result."""
    queue_seconds, infer_seconds, num_cached, num_scores = _unpack(_SCORED, body)
    scores = array("d")
    if len(body) != _SCORED.size + num_scores * scores.itemsize:
        raise ProtocolError(f"a result of {len(body)} bytes cannot have {num_scores} scores")
    scores.frombytes(body[_SCORED.size :])
    return Scored(tuple(scores), queue_seconds, infer_seconds, num_cached)


def encode_error(error: LorbError) -> bytes:
    """An error's type, message and field. A MalformedFile becomes an InvalidInput with the same message."""
    kind = InvalidInput if isinstance(error, MalformedFile) else type(error)
    return json.dumps([kind.__name__, error.message, error.field]).encode()


def decode_error(body: bytes) -> LorbError:
    """The error from bytes. Raises ProtocolError if the bytes are not an encoded error."""
    try:
        kind, message, field = json.loads(body)
        return _ERRORS[kind](str(message), field=str(field))
    except (ValueError, TypeError, KeyError):
        raise ProtocolError("an error is not decodable") from None


def _rows(
    sizes: list[int], starts: list[int], truncated: bytes, token_ids: list[int], type_ids: bytes
) -> tuple[EncodedHypothesis, ...]:
    rows = []
    begin = 0
    for size, scored_from, cut in zip(sizes, starts, truncated, strict=True):
        if scored_from >= size:
            raise ProtocolError(f"a hypothesis of {size} tokens cannot be scored from token {scored_from}")
        end = begin + size
        rows.append(EncodedHypothesis(tuple(token_ids[begin:end]), tuple(type_ids[begin:end]), scored_from, bool(cut)))
        begin = end
    return tuple(rows)


def _integers(data: bytes) -> list[int]:
    if len(data) % _UINT32_BYTES:
        raise ProtocolError("an array of integers is truncated")
    integers = array(_UINT32)
    integers.frombytes(data)
    return integers.tolist()


def _unpack(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) < layout.size:
        raise ProtocolError(f"a body of {len(body)} bytes is shorter than its {layout.size} fixed bytes")
    return layout.unpack_from(body)
