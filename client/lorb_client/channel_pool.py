"""A client's channel, and the next one when the files of its TLS have changed.

gRPC takes certificates with a channel, so new ones need a new channel. Calls under way end on the one they began on.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorb.errors import InvalidInput
from lorb.v1.rescoring_pb2_grpc import RescoringServiceStub
from lorb_client.calls import CallSettings

Channel = TypeVar("Channel")  # of grpc, or of grpc.aio


@dataclass(slots=True, eq=False)
class ChannelLease(Generic[Channel]):
    """A channel with its stub, and how many calls it has."""

    channel: Channel
    stub: RescoringServiceStub
    num_calls: int = 0


class ChannelPool(Generic[Channel]):
    """Which channel a call takes. Safe to share between threads."""

    def __init__(self, settings: CallSettings, open_channel: Callable[[CallSettings], Channel]) -> None:
        """Raises InvalidInput where a file of the TLS does not hold what it should."""
        self._settings = settings
        self._open_channel = open_channel
        self._lock = threading.Lock()
        self._stamps = settings.stamps()
        self._line = self._opened()
        self._left: list[ChannelLease[Channel]] = []

    def take(self) -> ChannelLease[Channel]:
        """For one call, which ends with `give_back`; a new one where the files have changed.

        While they are being replaced, or do not fit together, the one before stays.
        """
        with self._lock:
            self._renew()
            self._line.num_calls += 1
            return self._line

    def give_back(self, line: ChannelLease[Channel]) -> list[Channel]:
        """Ends a call; returns channels that nobody needs any more, to be closed."""
        with self._lock:
            line.num_calls -= 1
            idle = [each.channel for each in self._left if each.num_calls == 0]
            self._left = [each for each in self._left if each.num_calls > 0]
            return idle

    def channels(self) -> list[Channel]:
        """All that are open."""
        with self._lock:
            return [each.channel for each in (self._line, *self._left)]

    def _renew(self) -> None:
        stamps = self._settings.stamps()
        if stamps == self._stamps:
            return
        try:
            opened = self._opened()
        except InvalidInput:
            return
        if self._settings.stamps() == stamps:  # not while somebody writes: the next call looks again
            self._left.append(self._line)
            self._stamps, self._line = stamps, opened

    def _opened(self) -> ChannelLease[Channel]:
        channel = self._open_channel(self._settings)
        return ChannelLease(channel, RescoringServiceStub(channel))  # type: ignore[no-untyped-call]
