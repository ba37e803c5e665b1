"""Bearer tokens: reads tokens from a file, refuses calls without a valid token, and names the caller of a call."""

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput, LorbError, Unauthenticated
from lorb.names import check_name
from lorb_server.rpc.errors import Context, abort
from lorb_server.telemetry.caller_metrics import CallerMetrics

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs only

OPERATOR = "operator"  # the caller name of admin tokens without a name
RELOAD_CHECK_SECONDS = 1.0
MAX_NAME_CHARS = 64
_SCHEME = "Bearer "

_log = logging.getLogger(__name__)

# The caller name of the current call's token. gRPC runs each call, interceptors included, in a context of its own.
_token_name: ContextVar[str] = ContextVar("token_name", default="")


def read_tokens(file: CredentialFile, *, default_name: str = "") -> Mapping[bytes, str]:
    """Reads the tokens in a file. Returns a mapping from each token's sha256 digest to the token's caller name.

    A line is "NAME:TOKEN". Empty lines and lines that begin with "#" are skipped. With `default_name`, a line may be
    a TOKEN alone, whose caller name is `default_name`.

    Raises InvalidInput if the file is not readable, has no token, or has an invalid line. The error names the flag and
    the file, and for an invalid line also the line's number.
    """
    names: dict[bytes, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                name, token = _parse_line(line.strip(), default_name)
            except InvalidInput as problem:
                raise InvalidInput(f"{file}:{number}: {problem.message}", field=file.field) from None
            if names.setdefault(_digest(token), name) != name:
                raise InvalidInput(
                    f"{file}:{number}: an earlier line gives this token to another caller", field=file.field
                )
    if not names:
        raise InvalidInput(f"{file} holds no token: add a line NAME:TOKEN", field=file.field)
    return names


class TokenFile:
    """The tokens of a file, read again when the file changes. Belongs to the event loop.

    If the changed file is not usable, the previous tokens stay valid.
    """

    def __init__(
        self, file: CredentialFile, *, default_name: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises InvalidInput under the same conditions as `read_tokens`."""
        self._file = file
        self._default_name = default_name
        self._clock = clock
        self._change_token = file.change_token()
        self._names = read_tokens(file, default_name=default_name)
        self._next_check_at = clock() + RELOAD_CHECK_SECONDS

    def name_of(self, token: str) -> str | None:
        """The caller that a token belongs to; None for an unknown token."""
        self._refresh()
        # The timing of this lookup leaks no token: it compares sha256 digests, and a caller cannot choose a digest.
        return self._names.get(_digest(token.encode()))

    def _refresh(self) -> None:
        if self._clock() < self._next_check_at:
            return
        self._next_check_at = self._clock() + RELOAD_CHECK_SECONDS
        change_token = self._file.change_token()
        if change_token == self._change_token:
            return
        self._change_token = change_token
        try:
            self._names = read_tokens(self._file, default_name=self._default_name)
        except InvalidInput as error:
            _log.error(
                "the changed token file is not usable: the previous tokens stay valid",
                extra={"fields": {"reason": error.message}},
            )
        else:
            _log.info("tokens reloaded", extra={"fields": {"file": str(self._file.path), "tokens": len(self._names)}})


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
        authorization = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        if not isinstance(authorization, str) or not authorization.startswith(_SCHEME):
            self._metrics.count_unauthenticated("no_token")
            return _refusing_handler(Unauthenticated("this call needs the metadata 'authorization: Bearer TOKEN'"))
        name = self._tokens.name_of(authorization.removeprefix(_SCHEME))
        if name is None:
            self._metrics.count_unauthenticated("wrong_token")
            return _refusing_handler(Unauthenticated("this server does not know the token of this call"))
        _token_name.set(name)
        return await continuation(handler_call_details)


def caller_name(context: Context) -> str:
    """The caller name of the call's token, else the name in the call's certificate, else "".

    The name in a certificate is the common name, or without one the first alternative name.
    """
    if name := _token_name.get():
        return name
    identity = context.auth_context()
    names = [*identity.get("x509_common_name", ()), *identity.get("x509_subject_alternative_name", ())]
    return names[0].decode("utf-8", errors="replace")[:MAX_NAME_CHARS] if names else ""


def _refusing_handler(error: LorbError) -> "Handler":
    async def refuse(request: Any, context: Context) -> None:  # noqa: ANN401
        await abort(context, error)

    return grpc.unary_unary_rpc_method_handler(refuse)


def _parse_line(line: str, default_name: str) -> tuple[str, bytes]:
    name, separator, token = line.partition(":")
    if not separator:
        if not default_name:
            raise InvalidInput("this line is not NAME:TOKEN")
        name, token = default_name, line
    check_name(name, "the caller")
    token = token.strip()
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise InvalidInput("the token is not one word of printable ASCII")
    return name, token.encode()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
