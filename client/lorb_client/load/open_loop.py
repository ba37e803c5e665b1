"""The open loop: every call is sent when it is due, however many earlier ones are unanswered.

A closed loop waits for an answer before it sends the next call, so a server that stalls is asked less and looks better
than its callers find it (Tene's "coordinated omission"). Here a stall shows in every call that was due meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from lorb_client.load.call_outcome import CallOutcome
from lorb_client.load.tally import LoadTally

MIN_TIMEOUT_SECONDS = 0.001
DRAIN_GRACE_SECONDS = 5.0  # beyond the deadline: gRPC ends every call by itself, so what is left then hangs

Send = Callable[[int, float], Awaitable[CallOutcome]]  # (which call, seconds until its deadline)


@dataclass(slots=True)
class OpenLoop:
    """Sends the calls of one process. Belongs to one event loop, whose clock it goes by.

    Attributes:
        times: when each call is due, seconds from the start, ascending.
        send: makes a call.
        tally: counts the calls due at `warm_up_seconds` or later.
        warm_up_seconds: calls due earlier are sent and not counted.
        in_flight_limit: a call that would make it more is not sent.
    """

    times: Sequence[float]
    send: Send
    tally: LoadTally
    warm_up_seconds: float = 0.0
    in_flight_limit: int = 10_000
    _in_flight: set["asyncio.Task[None]"] = field(default_factory=set)
    _failures: list[BaseException] = field(default_factory=list)
    _warm_up_tally: LoadTally = field(init=False)

    def __post_init__(self) -> None:
        self._warm_up_tally = LoadTally(self.tally.deadline_seconds)

    async def run(self, start_at: float) -> None:
        """Sends all calls and waits for their ends. `start_at` is on the event loop's clock.

        Cancelling it ends the run: what has ended is in the tally, calls under way are cancelled. Raises what
        `send` raises: a call that fails is a CallOutcome, so it is a fault.
        """
        loop = asyncio.get_running_loop()
        try:
            for i, offset in enumerate(self.times):
                # A generator that is late still lets its loop turn, or no call would go out.
                await asyncio.sleep(max(0.0, start_at + offset - loop.time()))
                self._raise_failure()
                self._begin(i, start_at + offset, self._tally_of(offset))
            await self._drain()
            self._raise_failure()
        except asyncio.CancelledError:
            ran_seconds = loop.time() - start_at - self.warm_up_seconds
            self.tally.interrupted_after_seconds = max(0.0, ran_seconds)
        finally:
            await self._give_up()

    def _tally_of(self, offset: float) -> LoadTally:
        return self.tally if offset >= self.warm_up_seconds else self._warm_up_tally

    def _begin(self, i: int, due_at: float, tally: LoadTally) -> None:
        if len(self._in_flight) >= self.in_flight_limit:
            tally.add_not_sent()
            return
        task = asyncio.get_running_loop().create_task(self._call(i, due_at, tally))
        self._in_flight.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._in_flight.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    async def _call(self, i: int, due_at: float, tally: LoadTally) -> None:
        loop = asyncio.get_running_loop()
        late_seconds = loop.time() - due_at
        tally.add_sent(late_seconds)
        try:
            end = await self.send(i, max(MIN_TIMEOUT_SECONDS, tally.deadline_seconds - late_seconds))
        except asyncio.CancelledError:
            tally.num_unfinished += 1
            raise
        tally.add_end(end, loop.time() - due_at)

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=self.tally.deadline_seconds + DRAIN_GRACE_SECONDS)

    async def _give_up(self) -> None:
        left = list(self._in_flight)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
