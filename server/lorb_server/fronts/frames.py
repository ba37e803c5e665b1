"""Frames on the socket between a front and the engine process: a length, a kind, a number, and a body.

Both ends run on one machine and in one version, so integers are in the machine's own order and nothing is negotiated.
No pickle: a body is JSON, or what `job_codec` packs.
"""

import enum
import struct
from collections.abc import Iterator

MAX_BODY_BYTES = 64 * 1024 * 1024

_HEADER = struct.Struct("=IBQ")  # bytes of the body, kind, number


class ProtocolError(Exception):
    """The other end sends what no front and no engine sends: the connection is of no use any more."""


class Kind(enum.IntEnum):
    """What a frame says. The number names a job or a question of the front, except where told otherwise."""

    HELLO = 1  # engine: settings, base and tokenizer, JSON
    READY = 2  # front: it listens; the number is its port
    REFUSED = 3  # front: it cannot start, and why, JSON
    STATE = 4  # engine: health and registry as they are now, JSON; routes known so far are void
    STATE_SEEN = 5  # front: the number of the state that it goes by from now on
    ROUTE = 6  # front: which adapter answers this domain and routing key?
    ROUTED = 7  # engine: the route, JSON
    DOMAINS = 8  # front: which domains are served?
    DOMAINS_SERVED = 9  # engine: a list, JSON
    SUBMIT = 10  # front: a job
    SCORED = 11  # engine: its scores
    FAILED = 12  # engine: why a job or a route failed, JSON
    CANCEL = 13  # front: nobody waits for it any more
    WITHDRAW = 14  # front: the canary of this adapter number failed, and why, text
    MEASURE = 15  # engine: what has been counted?
    MEASURED = 16  # front: samples, JSON
    DRAIN = 17  # engine: finish what is in flight and exit; the number is the grace in milliseconds


def frame(kind: Kind, number: int, body: bytes = b"") -> bytes:
    """One frame, ready to send; raises ProtocolError where the body is too large for one."""
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"a {kind.name} of {len(body)} bytes is more than the {MAX_BODY_BYTES} that a frame holds")
    return _HEADER.pack(len(body), kind, number) + body


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._wanted_bytes = _HEADER.size  # fewer than these are not worth a look

    def feed(self, data: bytes) -> Iterator[tuple[Kind, int, bytes]]:
        """The frames that are complete now: kind, number, body. Raises ProtocolError where one cannot be."""
        self._unread += data
        start = 0
        while len(self._unread) - start >= self._wanted_bytes:
            size, kind, number = _HEADER.unpack_from(self._unread, start)
            if size > MAX_BODY_BYTES:
                raise ProtocolError(f"a frame says that it has {size} bytes")
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
        raise ProtocolError(f"a frame is of the unknown kind {number}") from None
