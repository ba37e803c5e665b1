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

START_DELAY_SECONDS = 0.1  # from the choice of the start time to the start
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The calls of one process. Can be pickled.

    Attributes:
        settings: target, access, and `timeout_seconds`, the deadline of each call from its scheduled time.
        times: scheduled times of the calls in seconds from the start, ascending.
        workload: the request of each call.
        warm_up_seconds: calls scheduled earlier are sent but not counted.
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
    """Makes the calls from this process. Returns their counts.

    After Ctrl-C, returns the counts so far, marked as interrupted.
    """
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(make_calls(plan, lambda: time.monotonic() + START_DELAY_SECONDS))


async def make_calls(plan: LoadPlan, get_start_time: Callable[[], float]) -> LoadTally:
    """Connects, makes the calls and returns their counts. `get_start_time` gives the start on the loop's clock."""
    connections = Connections(plan.settings, plan.num_connections)
    tally = LoadTally(plan.settings.deadline_seconds(None))

    async def send(i: int, timeout_seconds: float) -> CallOutcome:
        return await connections.send(plan.workload.requests[plan.workload.draws[i]], timeout_seconds)

    try:
        await connections.open(_CONNECT_SECONDS)
        await OpenLoop(plan.times, send, tally, plan.warm_up_seconds, plan.in_flight_limit).run(get_start_time())
    finally:
        await connections.close()
    return tally


def precise_loop() -> asyncio.AbstractEventLoop:
    """Returns an event loop that sleeps to the microsecond. The default loop sleeps for whole milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
