"""Bearer tokens: a file of them, read again when it changes, and the guard that lets only their bearers through."""

import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput, LorbError, Unauthenticated
from lorb.names import check_name
from lorb_server.rpc.errors import Context, refuse
from lorb_server.telemetry.caller_metrics import CallerMetrics

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs alone

OPERATOR = "operator"  # the name of admin tokens that have none
LOOK_AGAIN_SECONDS = 1.0
_SCHEME = "Bearer "
MAX_NAME_CHARS = 64

_log = logging.getLogger(__name__)

# Each call runs in a context of its own, from its interceptors to its end.
_token_name: ContextVar[str] = ContextVar("token_name", default="")


def read_tokens(file: CredentialFile, *, unnamed: str = "") -> Mapping[bytes, str]:
    """The name of each token of a file, by the token's sha256.

    A line is "NAME:TOKEN"; empty ones and those that begin with "#" do not count. Where `unnamed` is a name, a line
    may be a TOKEN alone, which goes by that name. Raises InvalidInput naming the flag, file and line.
    """
    names: dict[bytes, str] = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                name, token = _named_token(line.strip(), unnamed)
            except InvalidInput as problem:
                raise InvalidInput(f"{file}:{number}: {problem.message}", field=file.field) from None
            if names.setdefault(_digest(token), name) != name:
                raise InvalidInput(f"{file}:{number}: an earlier line has this token too", field=file.field)
    if not names:
        raise InvalidInput(f"{file} holds no token", field=file.field)
    return names


class TokenFile:
    """The tokens of a file as it stands. Belongs to the event loop. A file that cannot be read changes nothing."""

    def __init__(self, file: CredentialFile, *, unnamed: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """Raises InvalidInput where the file holds no tokens, or something else."""
        self._file = file
        self._unnamed = unnamed
        self._clock = clock
        self._stamp = file.stamp()
        self._names = read_tokens(file, unnamed=unnamed)
        self._look_again_at = clock() + LOOK_AGAIN_SECONDS

    def name_of(self, token: str) -> str | None:
        """Whose token it is; None where it is nobody's."""
        self._refresh()
        offered = _digest(token.encode())
        found = None
        for digest, name in self._names.items():  # all of them, so that the time taken does not tell which one it was
            if hmac.compare_digest(offered, digest):
                found = name
        return found

    def _refresh(self) -> None:
        if self._clock() < self._look_again_at:
            return
        self._look_again_at = self._clock() + LOOK_AGAIN_SECONDS
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._names = read_tokens(self._file, unnamed=self._unnamed)
        except InvalidInput as error:
            _log.error("tokens cannot be read again; the ones before stay", extra={"fields": {"reason": error.message}})
        else:
            _log.info("tokens read again", extra={"fields": {"file": str(self._file.path), "tokens": len(self._names)}})


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Lets only calls through that carry one of the tokens, or that go to a service that is open to all."""

    def __init__(self, tokens: TokenFile, metrics: CallerMetrics, *, open_services: tuple[str, ...] = ()) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self._open = tuple(f"/{service}/" for service in open_services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's own handler, or one that turns it away."""
        if handler_call_details.method.startswith(self._open):
            return await continuation(handler_call_details)
        offered = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        if not isinstance(offered, str) or not offered.startswith(_SCHEME):
            self._metrics.turned_away("no_token")
            return _turning_away(Unauthenticated("this call needs the metadata 'authorization: Bearer TOKEN'"))
        name = self._tokens.name_of(offered.removeprefix(_SCHEME))
        if name is None:
            self._metrics.turned_away("wrong_token")
            return _turning_away(Unauthenticated("the token of this call is not one that this server takes"))
        _token_name.set(name)
        return await continuation(handler_call_details)


def caller_name(context: Context) -> str:
    """The name of the call's token, else its certificate's common or first alternative name; empty without either."""
    if name := _token_name.get():
        return name
    identity = context.auth_context()
    names = [*identity.get("x509_common_name", ()), *identity.get("x509_subject_alternative_name", ())]
    return names[0].decode("utf-8", errors="replace")[:MAX_NAME_CHARS] if names else ""


def _turning_away(error: LorbError) -> "Handler":
    async def turn_away(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # noqa: ANN401
        await refuse(context, error)

    return grpc.unary_unary_rpc_method_handler(turn_away)


def _named_token(line: str, unnamed: str) -> tuple[str, bytes]:
    name, separator, token = line.partition(":")
    if not separator:
        if not unnamed:
            raise InvalidInput("this line is not NAME:TOKEN")
        name, token = unnamed, line
    check_name(name, "the caller")
    token = token.strip()
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise InvalidInput("the token is not one word of printable ASCII")
    return name, token.encode()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
