"""Runs the scenario: three replicas under load, of which one is killed, one drained, and one added."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from callers import CallCounts, Callers
from lorb.errors import Unavailable
from lorb.nbest import NBest
from lorb.ranked import RescoreOptions
from lorb_client import AioClient
from name_server import NameServer, name_server
from replica import PATIENCE_SECONDS, Fleet, Replica


@dataclass(frozen=True)
class Plan:
    """The load of a scenario.

    Attributes:
        lists, options: lists and options of the calls.
        callers: number of concurrent callers.
        pause_seconds: pause between two calls of a caller.
        timeout_seconds: time-out of each call.
        phase_seconds: duration of the load after each event.
    """

    lists: Sequence[NBest]
    options: RescoreOptions
    callers: int = 16
    pause_seconds: float = 0.05
    timeout_seconds: float = 20.0
    phase_seconds: float = 8.0


class Discovery:
    """How clients find replicas: a name that is resolved, or a fixed list."""

    def __init__(self, fleet: Fleet, names: NameServer | None) -> None:
        self._fleet = fleet
        self._names = names

    @property
    def target(self) -> str:
        """The target of the client. A list includes the address of the replica that is added later."""
        if self._names is not None:
            return self._names.target(self._fleet.port)
        return "ipv4:" + ",".join(f"127.0.0.{last}:{self._fleet.port}" for last in range(2, 6))

    @property
    def dns_port(self) -> int:
        """The port of the name server."""
        return self._names.port

    def announce(self, *replicas: Replica) -> None:
        """Makes these replicas findable."""
        if self._names is not None:
            self._names.addresses = [replica.address for replica in replicas]


@contextmanager
def discovery(fleet: Fleet, kind: str) -> Iterator[Discovery]:
    """The discovery of a fleet. kind: "dns" or "list"."""
    if kind == "list":
        yield Discovery(fleet, None)
        return
    with name_server() as names:
        yield Discovery(fleet, names)


async def run_scenario(
    fleet: Fleet, where: Discovery, plan: Plan, make_client: Callable[[str], AioClient] = AioClient
) -> tuple[CallCounts, dict[str, int]]:
    """Runs the scenario; returns the outcomes, and the number of lists that each replica answered.

    The killed replica's count is read just before it is killed.
    """
    killed, drained, stays = (fleet.add() for _ in range(3))
    for replica in (killed, drained, stays):
        await asyncio.to_thread(replica.wait_until_ready)
    where.announce(killed, drained, stays)
    async with make_client(where.target) as client:
        await _until(lambda: _answers(client, plan))
        callers = Callers(
            client,
            plan.lists,
            plan.options,
            number=plan.callers,
            pause_seconds=plan.pause_seconds,
            timeout_seconds=plan.timeout_seconds,
        )
        callers.start()
        for replica in (killed, drained, stays):
            await _until(lambda each=replica: _has_answered(each))
        await asyncio.sleep(plan.phase_seconds)
        await asyncio.to_thread(killed.count)
        killed.kill()
        where.announce(drained, stays)
        await asyncio.sleep(plan.phase_seconds)
        added = fleet.add()
        await asyncio.to_thread(added.wait_until_ready)
        where.announce(drained, stays, added)
        await _until(lambda: _has_answered(added))
        await asyncio.sleep(plan.phase_seconds)
        await asyncio.to_thread(drained.count)
        drained.drain()
        where.announce(stays, added)
        await asyncio.sleep(plan.phase_seconds)
        await callers.stop()
    for replica in (stays, added):
        await asyncio.to_thread(replica.count)
    roles = {"killed": killed, "drained": drained, "stays": stays, "added": added}
    return callers.counts, {role: sum(replica.answered.values()) for role, replica in roles.items()}


async def _has_answered(replica: Replica) -> bool:
    return await asyncio.to_thread(replica.count) > 0


async def _answers(client: AioClient, plan: Plan) -> bool:
    """Whether the client, or its proxy, has found a replica."""
    try:
        await client.rescore(plan.lists[0], plan.options, timeout_seconds=PATIENCE_SECONDS)
    except Unavailable:
        return False
    return True


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():
            await asyncio.sleep(0.1)
