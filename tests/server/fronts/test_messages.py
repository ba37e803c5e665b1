"""Encoding and decoding of the bodies of frames."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb import errors
from lorb.errors import InvalidInput, LorbError, MalformedFile
from lorb_adapters.text import EncodedHypothesis
from lorb_server.call import Call, Priority, Scored
from lorb_server.fronts.frames import ProtocolError
from lorb_server.fronts.messages import decode, decode_error, decode_job, decode_route, encode, encode_error, encode_job
from support.servers.stub_model import adapter_handle, row

ADAPTER = adapter_handle(1)


def read_job(body):
    """The job in a body, for ADAPTER."""
    return decode_job(body, lambda _: ADAPTER)


@st.composite
def rows(draw):
    tokens = draw(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255)), min_size=1, max_size=20))
    scored_from = draw(st.integers(0, len(tokens) - 1))
    token_ids, type_ids = zip(*tokens, strict=True)
    return EncodedHypothesis(token_ids, type_ids, scored_from, draw(st.booleans()))


@given(
    st.lists(rows(), max_size=6),
    st.integers(0, 2**32 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(Priority),
    st.booleans(),
    st.text(max_size=8),
)
def test_a_job_survives_encoding_and_decoding(job_rows, number, answer_by, priority, may_be_partial, caller):
    """A decoded job has the same hypotheses, tokens, flags and caller."""
    flags = {"answer_by": answer_by, "priority": priority, "may_be_partial": may_be_partial}
    fields = {"adapter": ADAPTER, "caller": caller, **flags}
    body = encode_job(Call(hypotheses=job_rows, **fields), number)
    asked = []
    job = decode_job(body, lambda number: asked.append(number) or ADAPTER)
    assert asked == [number]
    assert list(job.hypotheses) == job_rows
    assert {name: getattr(job, name) for name in fields} == fields


@given(st.lists(st.floats(), max_size=8), st.floats(0, 1e9), st.floats(0, 1e9), st.integers(0, 2**32 - 1))
def test_scores_survive_encoding_and_decoding(scores, queue_seconds, infer_seconds, num_cached):
    """Decoded scores are equal bit for bit, including infinities; a NaN remains a NaN."""
    scored = decode(encode(Scored(tuple(scores), queue_seconds, infer_seconds, num_cached)), Scored)
    assert [struct.pack("d", score) for score in scored.scores if not math.isnan(score)] == [
        struct.pack("d", score) for score in scores if not math.isnan(score)
    ]
    assert [math.isnan(score) for score in scored.scores] == [math.isnan(score) for score in scores]
    assert (scored.queue_seconds, scored.infer_seconds, scored.num_cached) == (queue_seconds, infer_seconds, num_cached)


ERRORS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LorbError)),
    key=lambda kind: kind.__name__,
)


@given(st.sampled_from([kind for kind in ERRORS if kind is not MalformedFile]), st.text(), st.text())
def test_every_error_keeps_its_type_message_and_field(kind, message, field):
    """A decoded error has the type, message and field of the encoded one."""
    error = decode_error(encode_error(kind(message, field=field)))
    assert (type(error), error.message, error.field) == (kind, message, field)


def test_a_malformed_file_becomes_invalid_input():
    """A MalformedFile is decoded as InvalidInput with the path and line in its message, as on the wire."""
    error = decode_error(encode_error(MalformedFile("lists.jsonl", 3, "no brace")))
    assert (type(error), error.message) == (InvalidInput, "lists.jsonl:3: no brace")


@given(st.binary(max_size=80))
def test_random_bytes_raise_only_protocol_errors(body):
    """Random bytes are decoded by chance or raise ProtocolError, and never another exception."""
    readers = (
        read_job,
        lambda data: decode(data, Scored),
        decode_error,
        lambda data: decode_route(data, lambda _, adapter: adapter),
    )
    for reader in readers:
        try:
            reader(body)
        except ProtocolError:
            continue


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_job_with_a_changed_byte_is_refused_or_consistent(position, value):
    """After a change of one byte, a decoded job never has tokens from beyond the body."""
    body = bytearray(encode_job(Call(hypotheses=[row(1, 2, 3), row(4, 5)], adapter=ADAPTER, answer_by=5.0), 9))
    body[position % len(body)] = value
    try:
        job = read_job(bytes(body))
    except ProtocolError:
        return
    assert sum(each.num_tokens for each in job.hypotheses) == 5
    assert all(len(each.type_ids) == each.num_tokens > each.scored_from for each in job.hypotheses)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_truncated_job_is_refused(cut):
    """A job without its last bytes raises ProtocolError."""
    body = encode_job(Call(hypotheses=[row(1, 2, 3), row(4, 5)], adapter=ADAPTER, answer_by=5.0), 9)
    with pytest.raises(ProtocolError):
        read_job(body[:-cut])


@pytest.mark.parametrize(
    "hypothesis",
    [
        EncodedHypothesis((1, 2), (0, 0), 2, False),
        EncodedHypothesis((1, 2), (0, 0), -1, False),
        EncodedHypothesis((1, 2), (0,), 1, False),
        EncodedHypothesis((), (), 0, False),
    ],
)
def test_a_hypothesis_that_cannot_be_scored_is_refused(hypothesis):
    """A job whose hypothesis has no token to score, or not a type for each token, raises ProtocolError."""
    with pytest.raises(ProtocolError):
        read_job(encode_job(Call(hypotheses=[hypothesis], adapter=ADAPTER, answer_by=5.0), 9))


def test_a_job_without_a_deadline_is_refused():
    """A job whose deadline is NaN raises ProtocolError."""
    with pytest.raises(ProtocolError):
        read_job(encode_job(Call(hypotheses=[row(1, 2)], adapter=ADAPTER, answer_by=math.nan), 9))


def test_an_error_with_the_name_of_an_odd_file_is_sent():
    """The bytes of a file's name that are not UTF-8 become question marks in the message."""
    assert decode_error(encode_error(InvalidInput("no file \udcff"))).message == "no file ?"
