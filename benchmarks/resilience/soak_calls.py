"""Sends the calls of a soak, with random deadlines, some impossibly short, and cancellations."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import ANSWERED, Connections, OutcomeKind

CANCELLED = "cancelled"
CANCEL_SHARE = 0.1
CANCEL_WITHIN_SECONDS = 0.03
SHORTEST_SECONDS, LONGEST_SECONDS = 0.003, 3.0  # range of the deadlines, which are log-uniform


@dataclass
class SoakCalls:
    """Sends `num_calls` calls from `num_callers` callers without pause. Counts may be read during the run.

    Attributes:
        num_sent: calls sent.
        num_over: calls that have ended.
        ends: number of calls by "outcome reason", or CANCELLED if the caller cancelled.
    """

    target: str
    requests: Sequence[bytes]
    num_calls: int
    num_callers: int
    num_sent: int = 0
    num_over: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Makes all calls."""
        self._connections = Connections(CallSettings(self.target), 4)
        await self._connections.open(10.0)
        chances = [random.Random(seed) for seed in range(self.num_callers)]  # noqa: S311 - a load, not a secret
        await asyncio.gather(*(self._call_on(chance) for chance in chances))
        await self._connections.close()

    def num_ending(self, *kinds: OutcomeKind) -> int:
        """The number of calls with one of these outcomes."""
        names = {kind.value for kind in kinds}
        return sum(count for end, count in self.ends.items() if end.split()[0] in names)

    @property
    def num_answered(self) -> int:
        """The number of calls that returned a list."""
        return self.num_ending(*ANSWERED)

    async def _call_on(self, chance: random.Random) -> None:
        while self.num_sent < self.num_calls:
            self.num_sent += 1
            self.ends[await self._call(chance)] += 1
            self.num_over += 1

    async def _call(self, chance: random.Random) -> str:
        seconds = math.exp(chance.uniform(math.log(SHORTEST_SECONDS), math.log(LONGEST_SECONDS)))
        call = asyncio.ensure_future(self._connections.send(chance.choice(self.requests), seconds))
        if chance.random() < CANCEL_SHARE:
            await asyncio.sleep(chance.uniform(0, CANCEL_WITHIN_SECONDS))
            call.cancel()
        try:
            end = await call
        except asyncio.CancelledError:
            return CANCELLED
        return f"{end.kind.value} {end.reason}".rstrip()
