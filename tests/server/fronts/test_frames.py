"""The stream between a front and the engine process."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb_server.fronts.frames import MAX_BODY_BYTES, FrameReader, Kind, ProtocolError, frame

frames = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.binary(max_size=300)), min_size=1, max_size=10
)


@given(frames, st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_torn(sent, data):
    """Bytes arrive in pieces of any size; what is complete is read, in order, and nothing twice."""
    stream = b"".join(frame(*each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [got for piece in pieces for got in reader.feed(piece)] == sent


def test_a_torn_frame_is_not_handed_on():
    """All but its last byte is nothing yet."""
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
def test_a_header_that_cannot_be_is_refused(header):
    """A length that no front needs would be waited for, and gathered, for ever; a kind must be known."""
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(header))


def test_a_body_too_large_for_a_frame_is_not_sent():
    """The other end would refuse it."""
    with pytest.raises(ProtocolError):
        frame(Kind.SUBMIT, 1, bytes(MAX_BODY_BYTES + 1))
