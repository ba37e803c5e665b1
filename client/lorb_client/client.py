"""Client: the blocking client."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

import grpc

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
from lorb_client.calls import DEFAULT_OPTIONS, CallSettings
from lorb_client.channel import open_channel
from lorb_client.channel_pool import ChannelPool

Request = TypeVar("Request")
Response = TypeVar("Response")


class Client:
    """Blocking client of one LoRB service. Safe to share between threads. Close it, or use it as a context manager.

    Methods raise LorbError. If there was no answer, the error is Unavailable or DeadlineExceeded. Otherwise it is the
    server's error. A call that fails with UNAVAILABLE is tried at most three times within its deadline. If a token or
    certificate is refused, the method raises Unauthenticated at once.
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

        Args:
            target: "host:port", or any gRPC target ("dns:///lorb.example:50051", "unix:/run/lorb").
            timeout_seconds: default deadline of each call; None for 1 s, and for 60 s of `rescore_batch`, which is also
                the server's default.
            batch_timeout_seconds: default deadline of a call of `rescore_batch`; None for the one that
                `timeout_seconds` gives.
            token: bearer token; None for no token. A TokenFile is read again when the file changes.
            credentials: gRPC's own TLS credentials, instead of `tls`.
            wait_for_ready: let calls wait for an unreachable server until their deadline, instead of failing at once.
            tls: files of the TLS connection, read again when a file changes; None for plain text, or if `credentials`
                is given.
            allow_plaintext_token: allow sending the token to a remote server without TLS. By default, a token without
                TLS is sent only to this machine.

        Raises:
            InvalidInput: a value is out of range, arguments contradict each other, or a TLS file is missing or wrong.
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
        self._channel_pool = ChannelPool(settings, open_channel)

    def rescore(
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
        return ranked_from_response(self._call(lambda stub: stub.Rescore, request, timeout_seconds))

    def rescore_batch(
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
        return results_from_batch(self._call(lambda stub: stub.BatchRescore, request, seconds), len(lists))

    def server_info(self, *, timeout_seconds: float | None = None) -> ServerInfo:
        """Returns the server's release, base, domains and limits. Raises LorbError if the call fails."""
        request = pb.GetServerInfoRequest()
        return info_from_response(self._call(lambda stub: stub.GetServerInfo, request, timeout_seconds))

    def close(self) -> None:
        """Cancels the calls under way and closes the connections."""
        for channel in self._channel_pool.channels():
            channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        method: "Callable[[RescoringServiceStub], grpc.UnaryUnaryMultiCallable[Request, Response]]",
        request: Request,
        timeout_seconds: float | None,
    ) -> Response:
        settings = self._settings
        lease = self._channel_pool.acquire(settings.change_tokens())
        try:
            return method(lease.stub)(
                request,
                timeout=settings.deadline_seconds(timeout_seconds),
                metadata=settings.metadata,
                wait_for_ready=settings.wait_for_ready,
            )
        except grpc.RpcError as error:
            raise settings.error(error) from error
        finally:
            for idle in self._channel_pool.release(lease):
                idle.close()
