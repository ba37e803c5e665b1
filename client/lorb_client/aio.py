"""The asyncio client: the blocking one's twin."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

import grpc
from grpc import aio

from lorb.errors import LorbError
from lorb.nbest import NBest
from lorb.ranked import Ranked, RescoreOptions
from lorb.server_info import ServerInfo
from lorb.v1 import rescoring_pb2 as pb
from lorb.v1.rescoring_pb2_grpc import RescoringServiceStub
from lorb.wire import (
    batch_from_lists,
    info_from_response,
    ranked_from_response,
    request_from_nbest,
    results_from_batch,
)
from lorb_client.calls import DEFAULT_OPTIONS, DEFAULT_TIMEOUT_SECONDS, CallSettings
from lorb_client.channel import open_aio_channel
from lorb_client.channel_pool import ChannelPool
from lorb_client.tls import Tls
from lorb_client.token_file import TokenFile

Request = TypeVar("Request")
Response = TypeVar("Response")


class AioClient:
    """Calls one LoRB service from coroutines. Make it inside the event loop that will use it.

    Raises and retries as `Client` does. Cancelling a coroutine cancels its call, on the server too.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        token: str | TokenFile | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        wait_for_ready: bool = False,
        tls: Tls | None = None,
        allow_plaintext_token: bool = False,
    ) -> None:
        """The arguments are those of `CallSettings`; raises InvalidInput as it does."""
        settings = CallSettings(target, timeout_seconds, token, credentials, wait_for_ready, tls, allow_plaintext_token)
        self._settings = settings
        self._lines = ChannelPool(settings, open_aio_channel)

    async def rescore(
        self, nbest: NBest, options: RescoreOptions = DEFAULT_OPTIONS, *, timeout_seconds: float | None = None
    ) -> Ranked:
        """Re-ranks one list. The server sees the deadline and degrades in time to meet it."""
        request = request_from_nbest(nbest, options)
        return ranked_from_response(await self._call(lambda stub: stub.Rescore, request, timeout_seconds))

    async def rescore_batch(
        self,
        lists: Sequence[NBest],
        options: RescoreOptions = DEFAULT_OPTIONS,
        *,
        timeout_seconds: float | None = None,
    ) -> list[Ranked | LorbError]:
        """Re-ranks many lists in one call with one deadline; each has its own answer or error, in order."""
        request = batch_from_lists(lists, options)
        response = await self._call(lambda stub: stub.BatchRescore, request, timeout_seconds)
        return results_from_batch(response, len(lists))

    async def server_info(self, *, timeout_seconds: float | None = None) -> ServerInfo:
        """Asks the server what it is, serves and accepts."""
        request = pb.GetServerInfoRequest()
        return info_from_response(await self._call(lambda stub: stub.GetServerInfo, request, timeout_seconds))

    async def close(self) -> None:
        """Cancels the calls under way and closes the connections."""
        for channel in self._lines.channels():
            await channel.close()

    async def __aenter__(self) -> "AioClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(
        self,
        method: "Callable[[RescoringServiceStub], aio.UnaryUnaryMultiCallable[Request, Response]]",
        request: Request,
        timeout_seconds: float | None,
    ) -> Response:
        settings = self._settings
        line = self._lines.take()
        try:
            return await method(line.stub)(
                request,
                timeout=settings.deadline_seconds(timeout_seconds),
                metadata=aio.Metadata(*settings.metadata),
                wait_for_ready=settings.wait_for_ready,
            )
        except aio.AioRpcError as error:
            raise settings.error(error) from error
        finally:
            for unused in self._lines.give_back(line):
                await unused.close()
