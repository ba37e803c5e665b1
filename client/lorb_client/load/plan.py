"""What one process of a load does, and the doing of it; several processes share the calls out in turn."""

import asyncio
import contextlib
import multiprocessing
import selectors
import signal
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from lorb.errors import LorbError
from lorb_client.calls import CallSettings
from lorb_client.load.call_outcome import CallOutcome, Connections
from lorb_client.load.mix import Mix
from lorb_client.load.open_loop import OpenLoop
from lorb_client.load.tally import LoadTally

_LEAD_SECONDS = 0.1  # between the word to start and the start
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The calls of one process. May travel to another, as may its tally.

    Attributes:
        settings: the server, the token, and each call's deadline (`timeout_seconds`) from when it is due.
        times: when each call is due, seconds from the start, ascending.
        mix: what each call sends.
        warm_up_seconds: calls due earlier are not counted.
        num_connections: that the calls go through, in turn.
        in_flight_limit: calls under way at once.
    """

    settings: CallSettings
    times: "array[float]"
    mix: Mix
    warm_up_seconds: float
    num_connections: int
    in_flight_limit: int

    def share(self, i: int, num_processes: int) -> "LoadPlan":
        """Every `num_processes`-th call, from the i-th on: the shares together are the whole plan."""
        return replace(
            self,
            times=self.times[i::num_processes],
            mix=replace(self.mix, draws=self.mix.draws[i::num_processes]),
            in_flight_limit=max(1, self.in_flight_limit // num_processes),
        )


def carry_out(plan: LoadPlan) -> LoadTally:
    """Makes the calls from this process. Ctrl-C ends them early; the tally says so."""
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        return runner.run(_load(plan, lambda: time.monotonic() + _LEAD_SECONDS))


def carry_out_in_processes(plan: LoadPlan, num_processes: int) -> LoadTally:
    """Makes the calls from several processes with one start. Ctrl-C ends them early; the tally says so.

    Raises LorbError where one of them dies.
    """
    tallies: dict[int, LoadTally] = {}
    with _workers(plan, num_processes) as pipes:
        _tell(pipes, time.monotonic() + _LEAD_SECONDS)  # one monotonic clock for all processes of a machine
        try:
            _collect(pipes, tallies)
        except KeyboardInterrupt:
            _tell(pipes, None)
            _collect(pipes, tallies)
    total = LoadTally(plan.settings.timeout_seconds)
    for tally in tallies.values():
        total.merge(tally)
    return total


@contextlib.contextmanager
def _workers(plan: LoadPlan, num_processes: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    pipes: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        for i in range(num_processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(plan.share(i, num_processes), theirs), daemon=True)
            process.start()
            theirs.close()  # so that its death ends the pipe
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _hear_ready(pipe)
        yield pipes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(plan: LoadPlan, pipe: Connection) -> None:
    """A worker process: says that it is connected, hears when to start, tells its tally."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent's word decides
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        pipe.send(runner.run(_load_until_told(plan, pipe)))


async def _load_until_told(plan: LoadPlan, pipe: Connection) -> LoadTally:
    loop = asyncio.get_running_loop()
    load: asyncio.Task[LoadTally]

    def stop() -> None:
        loop.remove_reader(pipe.fileno())
        load.cancel()

    def agreed_start() -> float:
        pipe.send(None)
        start_at: float = pipe.recv()
        loop.add_reader(pipe.fileno(), stop)  # any further word, or the parent's death
        return start_at

    load = loop.create_task(_load(plan, agreed_start))
    tally = await load
    loop.remove_reader(pipe.fileno())
    return tally


async def _load(plan: LoadPlan, agreed_start: Callable[[], float]) -> LoadTally:
    connections = Connections(plan.settings, plan.num_connections)
    tally = LoadTally(plan.settings.timeout_seconds)

    async def send(i: int, timeout_seconds: float) -> CallOutcome:
        return await connections.send(plan.mix.requests[plan.mix.draws[i]], timeout_seconds)

    try:
        await connections.open(_CONNECT_SECONDS)
        await OpenLoop(plan.times, send, tally, plan.warm_up_seconds, plan.in_flight_limit).run(agreed_start())
    finally:
        await connections.close()
    return tally


def _precise_loop() -> asyncio.AbstractEventLoop:
    # epoll, the default, sleeps in whole milliseconds, rounded up; select in microseconds.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _tell(pipes: Sequence[Connection], message: float | None) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):  # it has ended: what it left is heard all the same
            pipe.send(message)


def _collect(pipes: Sequence[Connection], tallies: dict[int, LoadTally]) -> None:
    for i, pipe in enumerate(pipes):
        if i not in tallies:
            tallies[i] = _heard(pipe)


def _hear_ready(pipe: Connection) -> None:
    try:
        pipe.recv()
    except EOFError:
        raise LorbError("a process of the load did not start; its error is above") from None


def _heard(pipe: Connection) -> LoadTally:
    try:
        tally: LoadTally = pipe.recv()
    except EOFError:
        raise LorbError("a process of the load died; its error is above") from None
    return tally
