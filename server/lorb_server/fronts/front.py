"""A front process takes calls. The engine process, which started the front, scores the lists of these calls.

A front listens on the same port as the other fronts, and exits when its connection to the engine process ends.
"""

import asyncio
import logging
import signal
import socket
import sys

from lorb.errors import LorbError
from lorb_server.fronts.engine_link import EngineLink
from lorb_server.fronts.settings import FrontSettings
from lorb_server.garbage_collection import shorten_collections
from lorb_server.rpc.call_server import CallServer
from lorb_server.rpc.errors import hide_places
from lorb_server.rpc.health import Health
from lorb_server.rpc.server import ADMIN, RESCORING
from lorb_server.telemetry.logs import configure_logs, count_dropped_lines, log_event_loop_error, log_uncaught_errors
from lorb_server.telemetry.metrics import Metrics

LOST_GRACE_SECONDS = 1.0  # time for calls in flight when the engine process has ended
_CLOSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Serves until the engine process ends or drains this front. The argument is the socket's file descriptor."""
    for number in (signal.SIGINT, signal.SIGTERM):  # ignored, because the engine process drains its fronts
        signal.signal(number, signal.SIG_IGN)
    [descriptor] = map(int, arguments)
    return asyncio.run(_serve(socket.socket(fileno=descriptor)))


async def _serve(to_engine: socket.socket) -> int:
    health, metrics = Health((RESCORING, ADMIN)), Metrics()
    link = EngineLink(health, metrics)
    await asyncio.get_running_loop().create_unix_connection(lambda: link.connection, sock=to_engine)
    await asyncio.wait((link.hello, link.lost), return_when=asyncio.FIRST_COMPLETED)
    if not link.hello.done():
        return 1
    settings = FrontSettings.from_json(link.hello.result())
    configure_logs(settings.config.log_format, settings.config.log_level)
    count_dropped_lines(metrics.log_lines_dropped)
    log_uncaught_errors()
    asyncio.get_running_loop().set_exception_handler(log_event_loop_error)
    hide_places(settings.config.store, settings.base.name)
    try:
        server = CallServer(
            settings.config, settings.base, settings.text_encoder, link, link, metrics, health, shares_port=True
        )
        shorten_collections()
        link.say_ready(await server.listen())
    except LorbError as error:
        link.say_refused(error)
        await _close_link(link)
        return 2
    watching = asyncio.create_task(link.watch_engine())
    await asyncio.wait((link.drained, link.lost), return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    health.close()
    if link.lost.done():
        _log.error("the engine process is gone", extra={"fields": {"front": settings.slot}})
        await server.stop(LOST_GRACE_SECONDS)
        return 1
    await server.stop(link.drained.result())
    link.report()
    await _close_link(link)
    return 0


async def _close_link(link: EngineLink) -> None:
    """Closes the connection. Waits until all frames are written, or until a timeout."""
    link.connection.close()
    await asyncio.wait((link.lost,), timeout=_CLOSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
