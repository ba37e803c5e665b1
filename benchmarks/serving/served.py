"""Measures servers: throughput with 32 callers, and latency at shares of their capacity."""

import asyncio
from collections.abc import Sequence
from statistics import median

from figures import LORB, Record
from load import Latencies, closed_loop, first_answer, open_loop
from processes import ServerProcess
from workload import TaggedList

MIN_CALLS = 500  # of an open loop, so that five calls are beyond its p99
SHARES = (0.5, 0.8)  # of capacity


class Served:
    """A server under test, called from this process's event loop."""

    def __init__(self, name: str, process: ServerProcess, runner: asyncio.Runner) -> None:
        self.name = name
        self.lists_per_second: list[float] = []  # of each round
        self._process = process
        self._runner = runner

    @property
    def capacity(self) -> float:
        """Lists a second with 32 callers; the median of the rounds."""
        return median(self.lists_per_second)

    def scores(self, lists: Sequence[TaggedList]) -> list[float]:
        """The server's scores of some lists; waits until it answers."""
        return self._runner.run(self._scores(lists))

    def throughput(self, lists: Sequence[TaggedList]) -> float:
        """Measures hypotheses a second with 32 callers and each list once."""
        seconds = self._runner.run(self._closed_loop(lists))
        self.lists_per_second.append(len(lists) / seconds)
        return sum(len(each.texts) for each in lists) / seconds

    def latencies(self, lists: Sequence[TaggedList], calls_per_second: float, seconds: float) -> Latencies:
        """Measures latencies of calls at random times, at a rate and for a duration."""
        num_calls = max(MIN_CALLS, round(calls_per_second * seconds))
        return self._runner.run(self._open_loop(lists, calls_per_second, num_calls))

    async def _scores(self, lists: Sequence[TaggedList]) -> list[float]:
        caller = self._process.caller(lists)
        try:
            await first_answer(caller)
            return [score for i in range(len(lists)) for score in caller.scores(i, await caller.call(i))]
        finally:
            await caller.close()

    async def _closed_loop(self, lists: Sequence[TaggedList]) -> float:
        caller = self._process.caller(lists)
        try:
            return await closed_loop(caller, len(lists))
        finally:
            await caller.close()

    async def _open_loop(self, lists: Sequence[TaggedList], calls_per_second: float, num_calls: int) -> Latencies:
        caller = self._process.caller(lists)
        try:
            return await open_loop(caller, calls_per_second, num_calls)
        finally:
            await caller.close()


def latency_records(
    model: str, dtype: str, servers: Sequence[Served], lists: Sequence[TaggedList], seconds: float
) -> list[Record]:
    """Latencies at shares of each server's capacity: of that server, and of LoRB under the same load."""
    [lorb] = [server for server in servers if server.name == LORB]
    records = []
    for owner in servers:
        for share in SHARES:
            rate = share * owner.capacity
            own = owner.latencies(lists, rate, seconds)
            lorbs = own if owner is lorb else lorb.latencies(lists, rate, seconds)
            calls = len(own.seconds)
            for label, peer in own.shown().items():
                where = f"{label}_at_{share:.0%}_of_{owner.name}"
                value = lorbs.shown()[label]
                if owner is lorb:
                    records.append(Record(f"grpc_{where}", model, dtype, value, "s", calls=calls))
                else:
                    ratio = value / peer
                    records.append(Record(f"grpc_{where}", model, dtype, value, "s", ratio, owner.name, calls))
                    records.append(Record(f"{owner.name}_{where}", model, dtype, peer, "s", calls=calls))
    return records
