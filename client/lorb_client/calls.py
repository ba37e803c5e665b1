"""What the two clients share: settings, requests and answers."""

import math
from dataclasses import dataclass

import grpc

from lorb.credential_files import Stamp
from lorb.errors import InvalidInput, LorbError, Overloaded, Unauthenticated, Unavailable
from lorb.loopback import is_loopback_target
from lorb.ranked import RescoreOptions
from lorb.status import error_from_rpc
from lorb_client.tls import Tls
from lorb_client.token_file import TokenFile, check_token

DEFAULT_OPTIONS = RescoreOptions()
DEFAULT_TIMEOUT_SECONDS = 1.0
_NOT_TRUSTED = ("handshake failed", "Hostname Verification Check failed")  # gRPC's words; a test holds them
_HUNG_UP = "Socket closed"
_TOO_LARGE = "larger than max"


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How a client calls. Raises InvalidInput where a value makes no sense.

    Attributes:
        target: "host:port", or any name that gRPC resolves ("dns:///lorb.example:50051", "unix:/run/lorb").
        timeout_seconds: the deadline of a call that names none.
        token: sent as a bearer token; a TokenFile's is read again when the file changes.
        credentials: gRPC's own, for TLS; None for plain text, or for those of `tls`.
        tls: the files of a TLS connection, read again when one changes; None for plain text, or for `credentials`.
        allow_plaintext_token: send the token without TLS to another machine too, where all on the way may read it.
        wait_for_ready: a call waits for a server to come up, as long as its deadline allows, and does not
            fail at once.
    """

    target: str
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    token: str | TokenFile | None = None
    credentials: grpc.ChannelCredentials | None = None
    wait_for_ready: bool = False
    tls: Tls | None = None
    allow_plaintext_token: bool = False

    def __post_init__(self) -> None:
        if not self.target:
            raise InvalidInput("target is empty: name a server, as localhost:50051", field="target")
        if isinstance(self.token, str):
            check_token(self.token, "token")
        if self.tls is not None and self.credentials is not None:
            raise InvalidInput("tls and credentials are two ways to say the same: give one", field="tls")
        is_plain = self.tls is None and self.credentials is None
        if self.token is not None and is_plain and not (self.allow_plaintext_token or is_loopback_target(self.target)):
            raise InvalidInput(
                f"the token would travel to {self.target} in clear text: use TLS, or allow it where "
                "the way there is safe (allow_plaintext_token, --allow-plaintext-token)",
                field="token",
            )
        self.deadline_seconds(None)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        if self.token is None:
            return ()
        token = self.token.token if isinstance(self.token, TokenFile) else self.token
        return (("authorization", f"Bearer {token}"),)

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """None for plain text. Raises InvalidInput where a file of `tls` does not hold what it should."""
        return self.credentials if self.tls is None else self.tls.credentials()

    def stamps(self) -> tuple[Stamp | None, ...]:
        """Other than before where `channel_credentials` would read other files."""
        return () if self.tls is None else self.tls.stamps()

    @property
    def channel_options(self) -> tuple[tuple[str, int | str], ...]:
        """What `tls` and `target` ask of a channel."""
        # gRPC goes to a proxy named in http_proxy even for this machine, and what is for nobody else would leave it.
        direct = (("grpc.enable_http_proxy", 0),) if is_loopback_target(self.target) else ()
        return (*direct, *(() if self.tls is None else self.tls.options))

    def deadline_seconds(self, timeout_seconds: float | None) -> float:
        """What a call may take. Raises InvalidInput unless it is finite and above 0."""
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        if not (math.isfinite(seconds) and seconds > 0):
            raise InvalidInput(f"timeout_seconds is {seconds}: give a finite number above 0", field="timeout_seconds")
        return seconds

    def error(self, failed: grpc.RpcError) -> LorbError:
        """The error that a failed call stands for, of grpc or grpc.aio.

        A server whose certificate is not trusted is Unauthenticated, which no caller should try again; gRPC says
        UNAVAILABLE. Where the server hung up instead, on a connection in plain text or for the caller's own
        certificate, nobody can tell that from a server that went away: the message names both.
        """
        error = error_from_rpc(failed)
        if isinstance(error, Overloaded) and _TOO_LARGE in error.message:
            return InvalidInput(f"{error.message}: send less in one call")
        if not isinstance(error, Unavailable):
            return error
        if any(words in error.message for words in _NOT_TRUSTED):
            return Unauthenticated(f"no TLS connection to {self.target}: {error.message}")
        if _HUNG_UP in error.message:
            return Unavailable(f"{error.message} (or the server at {self.target} wants {self._missing})")
        return error

    @property
    def _missing(self) -> str:
        if self.tls is None and self.credentials is None:
            return "TLS"
        return "another client certificate, or no TLS"
