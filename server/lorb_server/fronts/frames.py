"""The frames between a front and the engine process: a length, a kind, a number, and a body.

Both ends run the same version on the same machine, so integers have the machine's byte order, and the ends negotiate
nothing. A body is empty, text, or encoded by `messages`. No body is pickled. A socket pair needs no name that another
process could connect to. pyzmq instead of it takes ten times the CPU time a message under load, and hides that the
other end has ended or does not read.
"""

import enum
import struct
from collections.abc import Iterator

MAX_BODY_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct("=IBQ")  # number of bytes in the body, kind, number


class ProtocolError(Exception):
    """The other end sent invalid bytes: the connection must be closed."""


class Kind(enum.IntEnum):
    """The kind of a frame, and who sends it. The frame's number identifies a front's job or question, unless noted."""

    HELLO = 1  # engine: the front's settings, base and tokenizer
    READY = 2  # front: I listen on the port that the number gives
    REFUSED = 3  # front: the error that keeps me from starting
    STATE = 4  # engine: my new state; the number is the state's; routes of earlier states are void
    STATE_SEEN = 5  # front: I follow the state with this number from now on
    ROUTE = 6  # front: which adapter answers this domain and routing key?
    ROUTED = 7  # engine: the route
    DOMAINS = 8  # front: which domains are served? The number is the state that I follow
    DOMAINS_SERVED = 9  # engine: the names of the domains, with the number of the question
    SUBMIT = 10  # front: score this job
    SCORED = 11  # engine: the job's scores
    FAILED = 12  # engine: why a job or a route failed
    CANCEL = 13  # front: cancel the job or question
    WITHDRAW = 14  # front: the canary with this adapter number failed; the body is the reason, text
    MEASURE = 15  # engine: send the samples of your metrics
    MEASURED = 16  # front: samples
    DRAIN = 17  # engine: finish the calls in flight and exit; the number is the grace time in milliseconds
    RELEASE = 18  # front: I no longer use this adapter number; the body is how often I have received it


def frame(kind: Kind, number: int, body: bytes = b"") -> bytes:
    """One encoded frame. Raises ProtocolError if the body is too large."""
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"a {kind.name} frame of {len(body)} bytes exceeds the limit of {MAX_BODY_BYTES}")
    return _HEADER.pack(len(body), kind, number) + body


class FrameReader:
    """Splits a stream of bytes into frames."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._wanted_bytes = _HEADER.size  # with fewer unread bytes, no frame can be complete

    def feed(self, data: bytes) -> Iterator[tuple[Kind, int, bytes]]:
        """Adds bytes; yields kind, number and body of each complete frame. Raises ProtocolError for invalid bytes."""
        self._unread += data
        start = 0
        while len(self._unread) - start >= self._wanted_bytes:
            size, kind, number = _HEADER.unpack_from(self._unread, start)
            if size > MAX_BODY_BYTES:
                raise ProtocolError(f"a frame of {size} bytes exceeds the limit of {MAX_BODY_BYTES}")
            end = start + _HEADER.size + size
            if end > len(self._unread):
                self._wanted_bytes = end - start
                break
            yield _kind(kind), number, bytes(self._unread[start + _HEADER.size : end])
            start, self._wanted_bytes = end, _HEADER.size
        del self._unread[:start]


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError:
        raise ProtocolError(f"unknown kind of frame: {number}") from None
