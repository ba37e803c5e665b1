"""Frames on the socket between a front and the engine process."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.fronts.frames import MAX_BODY_BYTES, FrameReader, Kind, ProtocolError, frame

frames = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=300)), min_size=1, max_size=10
)


@given(frames, st.data())
def test_frames_are_read_in_order_from_pieces_of_any_size(sent, data):
    """A stream cut at any positions gives every frame once and in order."""
    stream = b"".join(frame(*each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [got for piece in pieces for got in reader.feed(piece)] == sent


def test_an_incomplete_frame_is_not_returned():
    """The reader returns a frame only after its last byte."""
    reader = FrameReader()
    whole = frame(Kind.SUBMIT, 7, b"job")
    assert list(reader.feed(whole[:-1])) == []
    assert list(reader.feed(whole[-1:])) == [(Kind.SUBMIT, 7, b"job")]


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("=IBQ", MAX_BODY_BYTES + 1, Kind.SUBMIT, 1),
        struct.pack("=IBQ", 0, 0, 1),
        struct.pack("=IBQ", 0, 99, 1),
    ],
)
def test_an_invalid_header_is_refused(header):
    """A header with a body longer than the limit, or of an unknown kind, raises ProtocolError."""
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(header))


def test_a_body_longer_than_the_limit_is_not_sent():
    """A frame whose body is longer than the limit raises ProtocolError at the sender."""
    with pytest.raises(ProtocolError):
        frame(Kind.SUBMIT, 1, bytes(MAX_BODY_BYTES + 1))
