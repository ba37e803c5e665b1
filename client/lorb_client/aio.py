"""AioClient: the asyncio client."""

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
from lorb_client.access import Tls, TokenFile
from lorb_client.access_files import AccessFiles
from lorb_client.calls import DEFAULT_OPTIONS, CallSettings
from lorb_client.channel import open_aio_channel
from lorb_client.channel_pool import ChannelPool

Request = TypeVar("Request")
Response = TypeVar("Response")


class AioClient:
    """Asyncio client of one LoRB service. Create it in the event loop that uses it.

    Methods raise LorbError. If there was no answer, the error is Unavailable or DeadlineExceeded. Otherwise it is the
    server's error. A call that fails with UNAVAILABLE is tried at most three times within its deadline. If a token or
    certificate is refused, the method raises Unauthenticated at once. Cancelling a coroutine also cancels its
    call on the server.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float | None = None,
        batch_timeout_seconds: float | None = None,
        token: str | TokenFile | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        wait_for_ready: bool = False,
        tls: Tls | None = None,
        allow_plaintext_token: bool = False,
    ) -> None:
        """Opens a channel. gRPC connects when the first call is made.

        Arguments and errors are those of [Client][lorb_client.Client]. Token and TLS files are checked on a thread of
        their own; while they cannot be read, the previous token and connection stay in use.
        """
        settings = CallSettings(
            target,
            timeout_seconds,
            token,
            credentials,
            wait_for_ready,
            tls,
            allow_plaintext_token,
            batch_timeout_seconds,
        )
        self._settings = settings
        self._access_files = AccessFiles(settings)
        self._channel_pool = ChannelPool(settings, open_aio_channel)

    async def rescore(
        self, nbest: NBest, options: RescoreOptions = DEFAULT_OPTIONS, *, timeout_seconds: float | None = None
    ) -> Ranked:
        """Re-ranks one list.

        Args:
            nbest: the list.
            options: options of the call, such as the domain.
            timeout_seconds: deadline of the call; None for the client's default deadline. If the server cannot meet the
                deadline, `options.fallback_policy` applies.

        Raises:
            LorbError: the server refused the call, or did not answer.
        """
        request = request_from_nbest(nbest, options)
        return ranked_from_response(await self._call(lambda stub: stub.Rescore, request, timeout_seconds))

    async def rescore_batch(
        self,
        lists: Sequence[NBest],
        options: RescoreOptions = DEFAULT_OPTIONS,
        *,
        timeout_seconds: float | None = None,
    ) -> list[Ranked | LorbError]:
        """Re-ranks many lists in one call with one deadline.

        Args:
            lists: the lists.
            options: options that apply to all lists.
            timeout_seconds: deadline of the call; None for the client's default deadline of batches.

        Returns:
            One result for each list, in order: the re-ranked list, or an error.

        Raises:
            LorbError: the whole call failed.
        """
        request = batch_from_lists(lists, options)
        seconds = self._settings.batch_deadline_seconds(timeout_seconds)
        response = await self._call(lambda stub: stub.BatchRescore, request, seconds)
        return results_from_batch(response, len(lists))

    async def server_info(self, *, timeout_seconds: float | None = None) -> ServerInfo:
        """Returns the server's release, base, domains and limits. Raises LorbError if the call fails."""
        request = pb.GetServerInfoRequest()
        return info_from_response(await self._call(lambda stub: stub.GetServerInfo, request, timeout_seconds))

    async def close(self) -> None:
        """Cancels the calls under way and closes the connections."""
        for channel in self._channel_pool.channels():
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
        metadata, change_tokens = await self._access_files.latest()
        lease = self._channel_pool.acquire(change_tokens)
        try:
            return await method(lease.stub)(
                request,
                timeout=settings.deadline_seconds(timeout_seconds),
                metadata=aio.Metadata(*metadata),
                wait_for_ready=settings.wait_for_ready,
            )
        except aio.AioRpcError as error:
            raise settings.error(error) from error
        finally:
            for idle in self._channel_pool.release(lease):
                await idle.close()
