"""OpenLoop: sends each call at its scheduled time, even if earlier calls are unanswered.

A closed loop waits for an answer before it sends the next call. While a server stalls, a closed loop sends fewer calls,
so it underestimates the latency that callers see (Tene's "coordinated omission"). In an open loop, the stall is in the
latency of every call scheduled during the stall.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from lorb_client.load.call_outcome import CallOutcome
from lorb_client.load.tally import LoadTally

MIN_TIMEOUT_SECONDS = 0.001
DRAIN_GRACE_SECONDS = 5.0  # wait after the last deadline for calls that gRPC has not yet ended

Send = Callable[[int, float], Awaitable[CallOutcome]]  # (index of the call, seconds until its deadline)


@dataclass(slots=True)
class OpenLoop:
    """Sends the calls of one process. Belongs to one event loop, and uses its clock.

    Attributes:
        times: scheduled times of the calls in seconds from the start, ascending.
        send: makes the call with the given index, and returns how the call ended.
        tally: counts the calls scheduled at `warm_up_seconds` or later.
        warm_up_seconds: calls scheduled earlier are sent but not counted.
        in_flight_limit: maximum number of concurrent calls; a call beyond it is not sent.
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
        """Sends all calls and waits until they end. `start_at` is the start on the event loop's clock.

        Cancelling the coroutine ends the run. Calls that have ended are in the tally; calls under way are cancelled.

        An exception of `send` is raised here too. Such an exception is a bug, because `send` returns a CallOutcome for
        a failed call.
        """
        loop = asyncio.get_running_loop()
        try:
            for i, offset in enumerate(self.times):
                # sleep(0) if late: otherwise the event loop would not run, and no call would be sent
                await asyncio.sleep(max(0.0, start_at + offset - loop.time()))
                self._raise_failure()
                self._send_at(i, start_at + offset, self._tally_of(offset))
            await self._drain()
            self._raise_failure()
        except asyncio.CancelledError:
            ran_seconds = loop.time() - start_at - self.warm_up_seconds
            self.tally.interrupted_after_seconds = max(0.0, ran_seconds)
        finally:
            await self._cancel_in_flight()

    def _tally_of(self, offset: float) -> LoadTally:
        return self.tally if offset >= self.warm_up_seconds else self._warm_up_tally

    def _send_at(self, i: int, due_at: float, tally: LoadTally) -> None:
        if len(self._in_flight) >= self.in_flight_limit:
            tally.add_not_sent()
            return
        task = asyncio.get_running_loop().create_task(self._call(i, due_at, tally))
        self._in_flight.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
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
            outcome = await self.send(i, max(MIN_TIMEOUT_SECONDS, tally.deadline_seconds - late_seconds))
        except asyncio.CancelledError:
            tally.num_unfinished += 1
            raise
        tally.add_outcome(outcome, loop.time() - due_at)

    async def _drain(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=self.tally.deadline_seconds + DRAIN_GRACE_SECONDS)

    async def _cancel_in_flight(self) -> None:
        tasks = list(self._in_flight)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
