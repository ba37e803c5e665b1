"""CallSettings: the settings that both clients share. Also converts gRPC errors."""

import math
from dataclasses import dataclass

import grpc

from lorb.credential_files import ChangeToken
from lorb.errors import InvalidInput, LorbError, Overloaded, Unauthenticated, Unavailable
from lorb.loopback import is_loopback_target
from lorb.ranked import RescoreOptions
from lorb_client.access import Tls, TokenFile, check_token

DEFAULT_OPTIONS = RescoreOptions()
DEFAULT_TIMEOUT_SECONDS = 1.0
DEFAULT_BATCH_TIMEOUT_SECONDS = 60.0  # the server's own default, --default-bulk-deadline-seconds
# Parts of gRPC's error messages; tests check that gRPC still uses these texts.
_NOT_TRUSTED = ("handshake failed", "Hostname Verification Check failed")
_CONNECTION_CLOSED = "Socket closed"
_TOO_LARGE = "larger than max"

Metadata = tuple[tuple[str, str], ...]
ChangeTokens = tuple[ChangeToken | None, ...]


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Settings of a client's calls. Raises InvalidInput if a value is out of range, or values contradict each other.

    Attributes:
        target: "host:port", or any gRPC target ("dns:///lorb.example:50051", "unix:/run/lorb").
        timeout_seconds: default deadline of each call; None for DEFAULT_TIMEOUT_SECONDS, and for
            DEFAULT_BATCH_TIMEOUT_SECONDS of BatchRescore calls.
        token: bearer token; None for no token. A TokenFile is read again when the file changes.
        credentials: gRPC's own TLS credentials, instead of `tls`.
        wait_for_ready: let calls wait for an unreachable server until their deadline, instead of failing at once.
        tls: files of the TLS connection, read again when a file changes; None for plain text, or if `credentials` is
            given.
        allow_plaintext_token: allow sending the token to a remote server without TLS. Everybody on the network path can
            read such a token. By default, a token without TLS is sent only to this machine.
        batch_timeout_seconds: default deadline of a BatchRescore call; None for the one that `timeout_seconds` gives.
    """

    target: str
    timeout_seconds: float | None = None
    token: str | TokenFile | None = None
    credentials: grpc.ChannelCredentials | None = None
    wait_for_ready: bool = False
    tls: Tls | None = None
    allow_plaintext_token: bool = False
    batch_timeout_seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.target:
            raise InvalidInput("target is empty: give a server, such as localhost:50051", field="target")
        if isinstance(self.token, str):
            check_token(self.token, "token")
        if self.tls is not None and self.credentials is not None:
            raise InvalidInput("tls and credentials are both given: give one", field="tls")
        is_plain = self.tls is None and self.credentials is None
        if self.token is not None and is_plain and not (self.allow_plaintext_token or is_loopback_target(self.target)):
            raise InvalidInput(
                f"the token would be sent to {self.target} in clear text: use TLS, or allow it if the network is safe "
                "(allow_plaintext_token, --allow-plaintext-token)",
                field="token",
            )
        self.deadline_seconds(None)
        self.batch_deadline_seconds(None)

    @property
    def has_files(self) -> bool:
        """Whether the token or TLS comes from files, which may change."""
        return self.tls is not None or isinstance(self.token, TokenFile)

    @property
    def metadata(self) -> Metadata:
        """Metadata of every call: the bearer token, if `token` is set."""
        if self.token is None:
            return ()
        token = self.token.token if isinstance(self.token, TokenFile) else self.token
        return (("authorization", f"Bearer {token}"),)

    def channel_credentials(self) -> grpc.ChannelCredentials | None:
        """Returns TLS credentials; None for plain text. Raises InvalidInput if a TLS file is missing or wrong."""
        return self.credentials if self.tls is None else self.tls.credentials()

    def change_tokens(self) -> ChangeTokens:
        """Returns a value that differs after a file of `tls` changes."""
        return () if self.tls is None else self.tls.change_tokens()

    @property
    def channel_options(self) -> tuple[tuple[str, int | str], ...]:
        """The options that a gRPC channel needs for `tls` and `target`."""
        # gRPC obeys http_proxy even for loopback targets. The proxy is disabled, so that no call leaves the machine.
        direct = (("grpc.enable_http_proxy", 0),) if is_loopback_target(self.target) else ()
        return (*direct, *(() if self.tls is None else self.tls.options))

    def deadline_seconds(self, timeout_seconds: float | None) -> float:
        """Returns the deadline of a call: `timeout_seconds`, or the default if it is None.

        Raises InvalidInput unless the deadline is finite and above 0.
        """
        return _deadline(timeout_seconds, self.timeout_seconds, DEFAULT_TIMEOUT_SECONDS)

    def batch_deadline_seconds(self, timeout_seconds: float | None) -> float:
        """Returns the deadline of a BatchRescore call: `timeout_seconds`, or the default of batches if it is None.

        Raises InvalidInput unless the deadline is finite and above 0.
        """
        given = (timeout_seconds, self.batch_timeout_seconds, self.timeout_seconds)
        return _deadline(*given, DEFAULT_BATCH_TIMEOUT_SECONDS)

    def error(self, failed: grpc.RpcError) -> LorbError:
        """Converts the error of a failed grpc or grpc.aio call.

        gRPC reports an untrusted server certificate as UNAVAILABLE. This method returns Unauthenticated for it: a
        retry cannot help.

        A server that requires TLS or another client certificate closes the connection. gRPC does not distinguish this
        from a lost server, so the message names both causes.
        """
        from lorb.error_status import (
            error_from_rpc,
        )  # imported here: lorb-health needs no protobuf

        error = error_from_rpc(failed)
        if isinstance(error, Overloaded) and _TOO_LARGE in error.message:
            return InvalidInput(f"{error.message}: send less in one call")
        if not isinstance(error, Unavailable):
            return error
        if any(words in error.message for words in _NOT_TRUSTED):
            return Unauthenticated(f"no TLS connection to {self.target}: {error.message}")
        if _CONNECTION_CLOSED in error.message:
            return Unavailable(f"{error.message} (or the server at {self.target} requires {self._requirement})")
        return error

    @property
    def _requirement(self) -> str:
        if self.tls is None and self.credentials is None:
            return "TLS"
        return "another client certificate, or no TLS"


def _deadline(*choices: float | None) -> float:
    """Returns the first choice that is not None. Raises InvalidInput unless it is finite and above 0."""
    seconds = next(choice for choice in choices if choice is not None)
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(f"timeout_seconds is {seconds}: give a finite number above 0", field="timeout_seconds")
    return seconds
