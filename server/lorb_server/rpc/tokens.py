"""Bearer tokens: reads tokens from a file, refuses calls without a valid token, and names the caller of a call."""

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import grpc

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput, LorbError, Unauthenticated
from lorb.names import check_name
from lorb_server.rpc.callers import RELOAD_CHECK_SECONDS, Caller, parse_domains, token_caller
from lorb_server.rpc.errors import Context, abort
from lorb_server.rpc.reloaded_files import READ_SECONDS, ReloadedFiles
from lorb_server.telemetry.caller_metrics import CallerMetrics

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs only

OPERATOR = "operator"  # the caller name of admin tokens without a name
_SCHEME = "Bearer "

_log = logging.getLogger(__name__)


def read_tokens(file: CredentialFile, *, default_name: str = "") -> Mapping[bytes, Caller]:
    """Reads the tokens in a file. Returns a mapping from each token's sha256 digest to the token's caller.

    A line is "NAME:TOKEN" for a caller that may use all domains, or "NAME:TOKEN domain,domain". Empty lines and lines
    that begin with "#" are skipped. With `default_name`, tokens have no domains, and a line may be a TOKEN alone, whose
    caller name is `default_name`.

    Raises InvalidInput if the file is not readable or has an invalid line. The error names the flag and the file, and
    for an invalid line also the line's number.
    """
    callers: dict[bytes, Caller] = {}

    def add(line: str) -> None:
        caller, token = _parse_line(line, default_name)
        if callers.setdefault(_digest(token), caller) != caller:
            raise InvalidInput("an earlier line gives this token to another caller, or other domains")

    file.parse_lines(add)
    return callers


def check_tokens(file: CredentialFile, *, default_name: str = "") -> None:
    """Raises InvalidInput under the same conditions as `read_tokens`, and if the file holds no token."""
    if not read_tokens(file, default_name=default_name):
        raise InvalidInput(f"{file} holds no token: add a line NAME:TOKEN", field=file.field)


class TokenFile:
    """The tokens of a file, read again when the file changes.

    If the changed file is not usable, the previous tokens stay valid. If it holds no token, or was never usable, no
    token is valid.
    """

    def __init__(
        self,
        file: CredentialFile,
        metrics: CallerMetrics,
        *,
        default_name: str = "",
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._default_name = default_name
        self._callers: ReloadedFiles[Mapping[bytes, Caller]] = ReloadedFiles(
            [file],
            self._read,
            metrics,
            check_seconds=RELOAD_CHECK_SECONDS,
            refuse_all={},
            read_seconds=read_seconds,
            clock=clock,
        )

    async def caller_of(self, token: str) -> Caller | None:
        """The caller that a token belongs to; None for an unknown token."""
        callers = await self._callers.latest_async()
        # The timing of this lookup leaks no token: it compares sha256 digests, and a caller cannot choose a digest.
        return callers.get(_digest(token.encode()))

    def _read(self) -> Mapping[bytes, Caller]:
        callers = read_tokens(self._file, default_name=self._default_name)
        if not callers:
            fields = {"file": str(self._file)}
            _log.warning("the token file holds no token: no token is valid", extra={"fields": fields})
        return callers


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without a valid token, except calls to `open_services`."""

    def __init__(self, tokens: TokenFile, metrics: CallerMetrics, *, open_services: tuple[str, ...] = ()) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self._open_prefixes = tuple(f"/{service}/" for service in open_services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's own handler, or a handler that ends the call with UNAUTHENTICATED."""
        if handler_call_details.method.startswith(self._open_prefixes):
            return await continuation(handler_call_details)
        headers = [
            value for key, value in handler_call_details.invocation_metadata or () if key.lower() == "authorization"
        ]
        if len(headers) > 1:  # a proxy and this server could each believe another one
            return self._refusal("several_tokens", f"this call has {len(headers)} 'authorization' headers: send one")
        header = headers[0] if headers else ""
        if not isinstance(header, str) or not header.startswith(_SCHEME):
            return self._refusal("no_token", "this call needs the metadata 'authorization: Bearer TOKEN'")
        caller = await self._tokens.caller_of(header.removeprefix(_SCHEME))
        if caller is None:
            return self._refusal("wrong_token", "this server does not know the token of this call")
        token_caller.set(caller)
        return await continuation(handler_call_details)

    def _refusal(self, reason: str, message: str) -> "Handler":
        self._metrics.count_unauthenticated(reason)
        return _refusing_handler(Unauthenticated(message))


def _refusing_handler(error: LorbError) -> "Handler":
    async def refuse(request: Any, context: Context) -> None:  # noqa: ANN401
        await abort(context, error)

    return grpc.unary_unary_rpc_method_handler(refuse)


def _parse_line(line: str, default_name: str) -> tuple[Caller, bytes]:
    name, separator, rest = line.partition(":")
    if not separator:
        if not default_name:
            raise InvalidInput("this line is not NAME:TOKEN")
        name, rest = default_name, line
    check_name(name, "the caller")
    token, _, domains = rest.strip().partition(" ")
    if not (token and token.isascii() and token.isprintable()) or (domains and default_name):
        raise InvalidInput("the token is not one word of printable ASCII")
    return Caller(name, parse_domains(domains.strip())), token.encode()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
