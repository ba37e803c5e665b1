"""One end of the socket between a front and the engine process: frames in, frames out in few writes."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from lorb_server.fronts.frames import FrameReader, Kind, ProtocolError, frame
from lorb_server.telemetry.logs import log_failure

HIGH_WATER_BYTES = 4 * 1024 * 1024  # some hundreds of answers of the largest kind, thousands of common ones

_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """Hands frames to `receive` as they come. Belongs to the event loop."""

    def __init__(
        self,
        receive: Callable[[Kind, int, bytes], None],
        *,
        on_close: Callable[[], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_close` is called once, however it ends; `on_room` whenever the other end reads again."""
        self.is_closed = False
        self.is_full = False  # the other end reads too slowly: send no more than must be
        self._receive = receive
        self._on_close = on_close
        self._on_room = on_room
        self._reader = FrameReader()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop

    def send(self, kind: Kind, number: int, body: bytes = b"") -> None:
        """Sends a frame, with the others of this turn of the event loop; nothing where the other end is gone."""
        if self.is_closed:
            return
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(frame(kind, number, body))

    def flush(self) -> None:
        """Writes what has been sent."""
        if self._unsent and self._transport is not None and not self.is_closed:
            self._transport.writelines(self._unsent)
        self._unsent.clear()

    def close(self) -> None:
        """Ends the connection after what has been sent."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        """Lets the other end wait."""
        if self._transport is not None and not self.is_closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        if self._transport is not None and not self.is_closed:
            self._transport.resume_reading()

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Ends the connection where the bytes are no frames, or `receive` raises."""
        try:
            for kind, number, body in self._reader.feed(data):
                self._receive(kind, number, body)
        except ProtocolError as error:
            _log.error("a frame made no sense", extra={"fields": {"reason": str(error)}})
            self._abort()
        except Exception as error:
            log_failure(_log, "a frame could not be dealt with", error)
            self._abort()

    def pause_writing(self) -> None:
        """The other end reads too slowly."""
        self.is_full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self.is_full = False
        self._on_room()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is gone, or this one has closed."""
        self.is_closed = True
        self._on_close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
