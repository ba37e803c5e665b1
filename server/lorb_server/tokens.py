"""Bearer tokens that guard a whole gRPC server."""

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from lorb.errors import InvalidInput, Unauthenticated
from lorb_server.answers import refuse

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic in the stubs alone

_SCHEME = "Bearer "


def read_tokens(path: str) -> tuple[bytes, ...]:
    """The tokens of a file, one a line; raises InvalidInput where it cannot be read or holds none."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InvalidInput(f"--admin-token-file {path}: {error.strerror}", field="admin_token_file") from error
    tokens = tuple(line.strip() for line in lines if line.strip())
    if not tokens:
        raise InvalidInput(f"--admin-token-file {path} holds no token", field="admin_token_file")
    return tokens


class TokenGuard(grpc.aio.ServerInterceptor):
    """Lets only calls through that carry one of the tokens."""

    def __init__(self, tokens: tuple[bytes, ...]) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """The call's own handler, or one that turns it away."""
        if self._knows(dict(handler_call_details.invocation_metadata or ()).get("authorization", "")):
            return await continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_turn_away)

    def _knows(self, authorization: str | bytes) -> bool:
        if not isinstance(authorization, str) or not authorization.startswith(_SCHEME):
            return False
        offered = authorization.removeprefix(_SCHEME).encode()
        # all of them, so that the time taken does not tell which one was nearly right
        return sum(hmac.compare_digest(offered, token) for token in self._tokens) > 0


async def _turn_away(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # noqa: ANN401
    await refuse(context, Unauthenticated("the admin service wants metadata 'authorization: Bearer TOKEN'"))
