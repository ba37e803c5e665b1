"""What the two clients share: settings, requests and answers."""

import math
from dataclasses import dataclass

import grpc

from lorb.errors import InvalidInput
from lorb.ranked import RescoreOptions

DEFAULT_OPTIONS = RescoreOptions()
DEFAULT_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How a client calls. Raises InvalidInput where a value makes no sense.

    Attributes:
        target: "host:port", or any name that gRPC resolves ("dns:///lorb.example:50051", "unix:/run/lorb").
        timeout_seconds: the deadline of a call that names none.
        token: sent as a bearer token. Without `credentials` it travels in clear text.
        credentials: for TLS; None for plain text.
        wait_for_ready: a call waits for a server to come up, as long as its deadline allows, and does not
            fail at once.
    """

    target: str
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    token: str | None = None
    credentials: grpc.ChannelCredentials | None = None
    wait_for_ready: bool = False

    def __post_init__(self) -> None:
        if not self.target:
            raise InvalidInput("target is empty: name a server, as localhost:50051", field="target")
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise InvalidInput("token is not one line of printable ASCII", field="token")
        self.deadline_seconds(None)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def deadline_seconds(self, timeout_seconds: float | None) -> float:
        """What a call may take. Raises InvalidInput unless it is finite and above 0."""
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        if not (math.isfinite(seconds) and seconds > 0):
            raise InvalidInput(f"timeout_seconds is {seconds}: give a finite number above 0", field="timeout_seconds")
        return seconds
