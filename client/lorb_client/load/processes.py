"""Runs a load plan in several processes that start together."""

import asyncio
import contextlib
import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from lorb.errors import LorbError
from lorb_client.load.plan import START_DELAY_SECONDS, LoadPlan, make_calls, precise_loop
from lorb_client.load.tally import LoadTally


def run_plan_in_processes(plan: LoadPlan, num_processes: int) -> LoadTally:
    """Makes the calls from several processes. Returns their counts.

    After Ctrl-C, returns the counts so far, marked as interrupted. Raises LorbError if a process dies.
    """
    tallies: dict[int, LoadTally] = {}
    with _workers(plan, num_processes) as pipes:
        _send_all(pipes, time.monotonic() + START_DELAY_SECONDS)  # all processes share the machine's monotonic clock
        try:
            _collect(pipes, tallies)
        except KeyboardInterrupt:
            _send_all(pipes, None)
            _collect(pipes, tallies)
    total = LoadTally(plan.settings.deadline_seconds(None))
    for tally in tallies.values():
        total.merge(tally)
    return total


@contextlib.contextmanager
def _workers(plan: LoadPlan, num_processes: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")  # gRPC does not work after a fork
    pipes: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        for i in range(num_processes):
            parent_end, worker_end = context.Pipe()
            process = context.Process(target=_work, args=(plan.share(i, num_processes), worker_end), daemon=True)
            process.start()
            worker_end.close()  # so that the worker's death closes the pipe
            pipes.append(parent_end)
            processes.append(process)
        for pipe in pipes:
            _wait_until_ready(pipe)
        yield pipes
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(plan: LoadPlan, pipe: Connection) -> None:
    """Runs in a worker: connects, reports ready, receives the start time, makes the calls, and sends its tally."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent stops the workers
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        pipe.send(runner.run(_make_calls_until_stopped(plan, pipe)))


async def _make_calls_until_stopped(plan: LoadPlan, pipe: Connection) -> LoadTally:
    loop = asyncio.get_running_loop()
    load: asyncio.Task[LoadTally]

    def stop() -> None:
        loop.remove_reader(pipe.fileno())
        load.cancel()

    def get_start_time() -> float:
        pipe.send(None)
        start_at: float = pipe.recv()
        loop.add_reader(pipe.fileno(), stop)  # `stop` runs on a second message, or when the parent dies
        return start_at

    load = loop.create_task(make_calls(plan, get_start_time))
    tally = await load
    loop.remove_reader(pipe.fileno())
    return tally


def _send_all(pipes: Sequence[Connection], message: float | None) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):  # the worker has ended; its tally may still be in the pipe
            pipe.send(message)


def _collect(pipes: Sequence[Connection], tallies: dict[int, LoadTally]) -> None:
    for i, pipe in enumerate(pipes):
        if i not in tallies:
            tallies[i] = _receive_tally(pipe)


def _wait_until_ready(pipe: Connection) -> None:
    try:
        pipe.recv()
    except EOFError:
        raise LorbError("a process of the load did not start; its error is above") from None


def _receive_tally(pipe: Connection) -> LoadTally:
    try:
        tally: LoadTally = pipe.recv()
    except EOFError:
        raise LorbError("a process of the load died; its error is above") from None
    return tally
