"""LoadPlan: the calls of one process. Also makes these calls in the current process."""

import asyncio
import selectors
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace

from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import CallOutcome, Connections
from lorb_client.load.open_loop import OpenLoop
from lorb_client.load.tally import LoadTally
from lorb_client.load.workload import Workload

START_DELAY_SECONDS = 0.1  # from choosing the start time until the start
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The calls of one process. Can be pickled.

    Attributes:
        settings: target, access, and the deadline of each call from its scheduled time (`timeout_seconds`).
        times: scheduled times of the calls in seconds from the start, ascending.
        workload: the request of each call.
        warm_up_seconds: calls scheduled earlier than this are not counted.
        num_connections: number of connections, used in turn.
        in_flight_limit: maximum number of concurrent calls.
    """

    settings: CallSettings
    times: "array[float]"
    workload: Workload
    warm_up_seconds: float
    num_connections: int
    in_flight_limit: int

    def share(self, i: int, num_processes: int) -> "LoadPlan":
        """Returns the share of process `i`: every `num_processes`-th call, beginning with call `i`."""
        return replace(
            self,
            times=self.times[i::num_processes],
            workload=replace(self.workload, draws=self.workload.draws[i::num_processes]),
            in_flight_limit=max(1, self.in_flight_limit // num_processes),
        )


def run_plan(plan: LoadPlan) -> LoadTally:
    """Makes the calls from this process. After Ctrl-C it returns the counts so far, marked as interrupted."""
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(make_calls(plan, lambda: time.monotonic() + START_DELAY_SECONDS))


async def make_calls(plan: LoadPlan, get_start_time: Callable[[], float]) -> LoadTally:
    """Connects, gets the start time on the event loop's clock from `get_start_time`, and makes the calls."""
    connections = Connections(plan.settings, plan.num_connections)
    tally = LoadTally(plan.settings.timeout_seconds)

    async def send(i: int, timeout_seconds: float) -> CallOutcome:
        return await connections.send(plan.workload.requests[plan.workload.draws[i]], timeout_seconds)

    try:
        await connections.open(_CONNECT_SECONDS)
        await OpenLoop(plan.times, send, tally, plan.warm_up_seconds, plan.in_flight_limit).run(get_start_time())
    finally:
        await connections.close()
    return tally


def precise_loop() -> asyncio.AbstractEventLoop:
    """Returns an event loop that sleeps in microseconds: the default, epoll, rounds up to whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
