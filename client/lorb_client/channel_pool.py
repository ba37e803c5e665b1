"""ChannelPool: leases a client's channel, and opens a new channel when the TLS files change.

gRPC reads certificates when a channel is opened, so new certificates need a new channel. Calls under way finish on
their old channel.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorb.errors import InvalidInput
from lorb.v1.rescoring_pb2_grpc import RescoringServiceStub
from lorb_client.calls import CallSettings, ChangeTokens

Channel = TypeVar("Channel")  # grpc.Channel or grpc.aio.Channel


@dataclass(slots=True, eq=False)
class ChannelLease(Generic[Channel]):
    """A channel with its stub and its number of calls.

    Attributes:
        channel: the channel.
        stub: stub of the rescoring service on the channel.
        num_calls: number of calls under way on the channel.
    """

    channel: Channel
    stub: RescoringServiceStub
    num_calls: int = 0


class ChannelPool(Generic[Channel]):
    """The current channel of a client, and older channels with calls under way. Safe to share between threads."""

    def __init__(self, settings: CallSettings, open_channel: Callable[[CallSettings], Channel]) -> None:
        """Opens a channel. Raises InvalidInput if a TLS file is missing or wrong."""
        self._settings = settings
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._change_tokens = settings.change_tokens()
        self._current = self._new_lease()
        self._retired: list[ChannelLease[Channel]] = []

    def acquire(self, change_tokens: ChangeTokens) -> ChannelLease[Channel]:
        """Returns the channel for one call. End the call with `release`.

        Opens a new channel if the TLS files have changed and fit together. `change_tokens` are those of the files now.
        """
        with self._lock:
            self._renew_if_changed(change_tokens)
            self._current.num_calls += 1
            return self._current

    def release(self, lease: ChannelLease[Channel]) -> list[Channel]:
        """Ends a call. Returns retired channels without calls, which the caller must close."""
        with self._lock:
            lease.num_calls -= 1
            idle = [retired.channel for retired in self._retired if retired.num_calls == 0]
            self._retired = [retired for retired in self._retired if retired.num_calls > 0]
            return idle

    def channels(self) -> list[Channel]:
        """Returns all open channels."""
        with self._lock:
            return [lease.channel for lease in (self._current, *self._retired)]

    def _renew_if_changed(self, change_tokens: ChangeTokens) -> None:
        if change_tokens == self._change_tokens:
            return
        try:
            lease = self._new_lease()
        except InvalidInput:
            return
        if self._settings.change_tokens() == change_tokens:  # if not, a file is being written: the next call retries
            self._retired.append(self._current)
            self._change_tokens, self._current = change_tokens, lease

    def _new_lease(self) -> ChannelLease[Channel]:
        channel = self._open_channel(self._settings)
        return ChannelLease(channel, RescoringServiceStub(channel))  # type: ignore[no-untyped-call]
