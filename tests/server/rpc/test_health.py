"""lorb_server.rpc.health: Check, Watch, drains and mirrored status."""

import asyncio

from grpc_health.v1 import health_pb2

from lorb_server.rpc.health import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def watch(health, service):
    return health.Watch(health_pb2.HealthCheckRequest(service=service), None)


async def next_status(watching):
    async with asyncio.timeout(5):
        return (await anext(watching)).status


async def check(health, service):
    return (await health.Check(health_pb2.HealthCheckRequest(service=service), None)).status


def test_all_services_change_together():
    """All services are NOT_SERVING first, then SERVING, and NOT_SERVING for good after a drain has begun."""

    async def test():
        health = Health(["a", "b"])
        seen = []
        for change in (lambda: None, health.serve, health.drain, health.serve):
            change()
            seen.append([await check(health, service) for service in ("", "a", "b")])
        assert seen == [[NOT_SERVING] * 3, [SERVING] * 3, [NOT_SERVING] * 3, [NOT_SERVING] * 3]

    asyncio.run(test())


def test_a_watcher_that_leaves_does_not_affect_others():
    """The remaining watchers still get changes after one has left."""

    async def test():
        health = Health(["a"])
        leaves, stays = watch(health, "a"), watch(health, "a")
        assert [await next_status(leaves), await next_status(stays)] == [NOT_SERVING] * 2
        await leaves.aclose()
        waiting = asyncio.create_task(next_status(stays))
        await asyncio.sleep(0)
        health.serve()
        assert await waiting == SERVING

    asyncio.run(test())


def test_a_slow_watcher_gets_the_current_status():
    """A watcher that reads late gets the latest status only."""

    async def test():
        health = Health(["a"])
        watching = watch(health, "a")
        assert await next_status(watching) == NOT_SERVING
        health.serve()
        health.drain()
        health._draining = False
        health.serve()
        assert await next_status(watching) == SERVING

    asyncio.run(test())


def test_closing_ends_all_watches():
    """After close, every watch ends."""

    async def test():
        health = Health(["a"])
        watching = [watch(health, "a"), watch(health, "unknown")]
        assert [await next_status(each) for each in watching] == [NOT_SERVING, SERVICE_UNKNOWN]
        ends = [asyncio.create_task(anext(each, None)) for each in watching]
        await asyncio.sleep(0)
        health.close()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*ends) == [None, None]

    asyncio.run(test())


def test_health_mirrors_another_process():
    """The mirrored status applies until this process drains, and on_change is called after every change."""

    async def test():
        health, seen = Health(["a"]), []
        health.on_change = lambda: seen.append((health.serving, health.has_served))
        health.mirror(is_serving=True, has_served=True)
        health.mirror(is_serving=False, has_served=True)
        health.drain()
        health.mirror(is_serving=True, has_served=True)
        assert seen == [(True, True), (False, True), (False, True), (False, True)]
        assert await check(health, "a") == NOT_SERVING

    asyncio.run(test())
