"""Jobs, their scores and their errors as bytes: fixed fields packed, token ids as one array."""

import json
import math
import struct
from array import array
from itertools import chain

from lorb import errors
from lorb.errors import InvalidInput, LorbError, MalformedFile
from lorb_adapters.text import EncodedHypothesis
from lorb_server.adapter import AdapterHandle
from lorb_server.call import Job, Priority, Scored
from lorb_server.fronts.frames import ProtocolError

_JOB = struct.Struct("=IBBdI")  # adapter number, lane, may be partial, answer by, rows
_SCORED = struct.Struct("=ddII")  # queue seconds, infer seconds, cached, scores
_UINT32, _UINT32_BYTES = "I", array("I").itemsize
_LANES = tuple(Priority)
_LANE_NUMBERS = {lane: number for number, lane in enumerate(_LANES)}

_ERRORS: dict[str, type[LorbError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, LorbError) and kind is not MalformedFile
}


def encode_job(job: Job, adapter_number: int) -> bytes:
    """A job whose adapter the engine knows by this number."""
    rows = job.rows
    head = _JOB.pack(adapter_number, _LANE_NUMBERS[job.lane], job.may_be_partial, job.answer_by, len(rows))
    sizes = array(_UINT32, [row.num_tokens for row in rows])
    starts = array(_UINT32, [row.scored_from for row in rows])
    token_ids = array(_UINT32, chain.from_iterable(row.token_ids for row in rows))
    type_ids = bytes(chain.from_iterable(row.type_ids for row in rows))
    truncated = bytes(row.truncated for row in rows)
    return b"".join((head, sizes.tobytes(), starts.tobytes(), truncated, token_ids.tobytes(), type_ids))


def adapter_number(body: bytes) -> int:
    """Which adapter an encoded job asks for; raises ProtocolError where it is no job."""
    return int(_unpack(_JOB, body)[0])


def decode_job(body: bytes, adapter: AdapterHandle) -> Job:
    """What `encode_job` made; raises ProtocolError where it did not make that."""
    _, lane, may_be_partial, answer_by, num_rows = _unpack(_JOB, body)
    if lane >= len(_LANES) or math.isnan(answer_by):
        raise ProtocolError(f"a job is in lane {lane}, to be answered by {answer_by}")
    sizes_end = _JOB.size + num_rows * _UINT32_BYTES
    starts_end = sizes_end + num_rows * _UINT32_BYTES
    truncated_end = starts_end + num_rows
    sizes = _integers(body[_JOB.size : sizes_end])
    num_tokens = sum(sizes)
    tokens_end = truncated_end + num_tokens * _UINT32_BYTES
    if len(sizes) != num_rows or len(body) != tokens_end + num_tokens:
        raise ProtocolError(f"a job of {len(body)} bytes says that it has {num_rows} rows and {num_tokens} tokens")
    rows = _rows(
        sizes,
        _integers(body[sizes_end:starts_end]),
        body[starts_end:truncated_end],
        _integers(body[truncated_end:tokens_end]),
        body[tokens_end:],
    )
    return Job(rows, adapter, answer_by, _LANES[lane], bool(may_be_partial))


def encode_scored(scored: Scored) -> bytes:
    """The scores of a job."""
    scores = array("d", scored.scores)
    return _SCORED.pack(scored.queue_seconds, scored.infer_seconds, scored.num_cached, len(scores)) + scores.tobytes()


def decode_scored(body: bytes) -> Scored:
    """What `encode_scored` made; raises ProtocolError where it did not make that."""
    queue_seconds, infer_seconds, num_cached, num_scores = _unpack(_SCORED, body)
    scores = array("d")
    if len(body) != _SCORED.size + num_scores * scores.itemsize:
        raise ProtocolError(f"a result of {len(body)} bytes says that it has {num_scores} scores")
    scores.frombytes(body[_SCORED.size :])
    return Scored(tuple(scores), queue_seconds, infer_seconds, num_cached)


def encode_error(error: LorbError) -> bytes:
    """An error by its type, message and field. A file's place stays in the message."""
    kind = InvalidInput if isinstance(error, MalformedFile) else type(error)
    return json.dumps([kind.__name__, error.message, error.field]).encode()


def decode_error(body: bytes) -> LorbError:
    """What `encode_error` made; raises ProtocolError where it did not make that."""
    try:
        kind, message, field = json.loads(body)
        return _ERRORS[kind](str(message), field=str(field))
    except (ValueError, TypeError, KeyError):
        raise ProtocolError("an error is none that this process knows") from None


def _rows(
    sizes: list[int], starts: list[int], truncated: bytes, token_ids: list[int], type_ids: bytes
) -> tuple[EncodedHypothesis, ...]:
    rows = []
    begin = 0
    for size, scored_from, cut in zip(sizes, starts, truncated, strict=True):
        if scored_from >= size:
            raise ProtocolError(f"a row of {size} tokens says that it is scored from token {scored_from}")
        end = begin + size
        rows.append(EncodedHypothesis(tuple(token_ids[begin:end]), tuple(type_ids[begin:end]), scored_from, bool(cut)))
        begin = end
    return tuple(rows)


def _integers(data: bytes) -> list[int]:
    if len(data) % _UINT32_BYTES:
        raise ProtocolError("an array of integers is torn")
    integers = array(_UINT32)
    integers.frombytes(data)
    return integers.tolist()


def _unpack(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) < layout.size:
        raise ProtocolError(f"a body of {len(body)} bytes has no room for its {layout.size} fixed ones")
    return layout.unpack_from(body)
