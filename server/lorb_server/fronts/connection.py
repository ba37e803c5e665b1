"""One end of the socket between a front and the engine process: receives frames, and sends many in one write.

Each end sends a frame in every HEARTBEAT_SECONDS, so that the other notices a process that is stopped or hangs.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from lorb_server.fronts.frames import FrameReader, Kind, ProtocolError, frame
from lorb_server.telemetry.logs import log_failure

HIGH_WATER_BYTES = 4 * 1024 * 1024  # holds a few hundred of the largest answers, or thousands of common answers
HEARTBEAT_SECONDS = 1.0
MAX_SILENT_HEARTBEATS = 5  # a busy front may miss one or two

_log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """Calls `receive` for each frame that arrives. Belongs to the event loop.

    Attributes:
        is_closed: whether the connection has ended.
        is_full: whether the other end reads too slowly; while it does, send only necessary frames.
        is_silent: whether the other end has neither sent nor read anything for more than MAX_SILENT_HEARTBEATS.
    """

    def __init__(
        self,
        receive: Callable[[Kind, int, bytes], None],
        *,
        on_close: Callable[[], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_close` is called once, when the connection ends; `on_room` whenever `is_full` becomes false."""
        self.is_closed = False
        self.is_full = False
        self._receive = receive
        self._on_close = on_close
        self._on_room = on_room
        self._reader = FrameReader()
        self._silent_heartbeats = 0
        self._is_reading_paused = False
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop

    def send(self, kind: Kind, number: int, body: bytes = b"") -> None:
        """Sends a frame together with other frames of this turn of the event loop; does nothing if `is_closed`."""
        if self.is_closed:
            return
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(frame(kind, number, body))

    def flush(self) -> None:
        """Writes the frames that have not been written yet."""
        if self._unsent and self._transport is not None and not self.is_closed:
            self._transport.writelines(self._unsent)
        self._unsent.clear()

    def close(self) -> None:
        """Writes the frames that have not been written yet, and closes the connection."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    @property
    def is_silent(self) -> bool:  # noqa: D102 - see the class
        return self._silent_heartbeats > MAX_SILENT_HEARTBEATS

    def count_heartbeat(self) -> None:
        """Counts one heartbeat of the other end as missed, until it sends or reads something.

        Heartbeats are counted rather than timed: a process that was itself stopped must not blame the other end.
        """
        if self.is_full or not self._is_reading_paused:
            self._silent_heartbeats += 1

    def pause_reading(self) -> None:
        """Stops reading, so that the other end has to wait."""
        self._is_reading_paused = True
        if self._transport is not None and not self.is_closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Starts reading again."""
        self._is_reading_paused = False
        if self._transport is not None and not self.is_closed:
            self._transport.resume_reading()

    # The event loop calls the methods below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called when the socket is connected."""
        self._loop = asyncio.get_running_loop()
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Calls `receive` for each frame. Aborts the connection if the bytes are not frames, or if `receive` raises."""
        self._silent_heartbeats = 0
        try:
            for kind, number, body in self._reader.feed(data):
                self._receive(kind, number, body)
        except ProtocolError as error:
            _log.error("invalid frame", extra={"fields": {"reason": str(error)}})
            self._abort()
        except Exception as error:
            log_failure(_log, "handling a frame failed", error)
            self._abort()

    def pause_writing(self) -> None:
        """Called when the other end reads too slowly."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Called when the other end has caught up."""
        self.is_full = False
        self._silent_heartbeats = 0
        self._on_room()

    def connection_lost(self, error: Exception | None) -> None:
        """Called when the connection has ended, at either end."""
        self.is_closed = True
        self._on_close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
