"""lorb_client.aio: the asyncio twin does as the blocking client does."""

import asyncio
import inspect

import pytest

from lorb.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from lorb.ranked import RescoreOptions
from lorb_client import AioClient, Client
from support.servers.rescoring_server import INFO, turned_round


def called(target, coroutine, **settings):
    """Runs `coroutine` of a connected client to its end."""

    async def connected():
        async with AioClient(target, **{"timeout_seconds": 10} | settings) as client:
            return await coroutine(client)

    return asyncio.run(connected())


def test_the_twins_take_the_same_arguments():
    """Whoever knows one client knows the other."""
    for name in ("__init__", "rescore", "rescore_batch", "server_info", "close"):
        blocking, awaited = (inspect.signature(getattr(kind, name)) for kind in (Client, AioClient))
        assert blocking == awaited, name


def test_lists_come_back_as_the_server_ranked_them(target, sample_lists):
    """Many calls under way at once, each with its own answer."""

    async def all_at_once(client):
        return await asyncio.gather(*(client.rescore(nbest) for nbest in sample_lists[:50]))

    assert called(target, all_at_once) == [turned_round(nbest, RescoreOptions()) for nbest in sample_lists[:50]]


def test_a_batch_and_server_info(target, sample_lists):
    """The other two methods."""
    results = called(target, lambda client: client.rescore_batch(sample_lists[:3]))
    assert results == [turned_round(nbest, RescoreOptions()) for nbest in sample_lists[:3]]
    assert called(target, lambda client: client.server_info()) == INFO


@pytest.mark.parametrize("error", [InvalidInput("too long", field="context"), Overloaded("full")])
def test_errors_arrive_as_they_were_raised(target, service, sample_lists, error):
    """Type, message and field, and no second attempt."""
    service.failures = [error]
    with pytest.raises(type(error)) as caught:
        called(target, lambda client: client.rescore(sample_lists[0]))
    assert (caught.value.message, caught.value.field) == (error.message, error.field)
    assert service.methods() == ["Rescore"]


def test_unavailable_is_tried_again(target, service, sample_lists):
    """Under the same service config as the blocking client."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    ranked = called(target, lambda client: client.rescore(sample_lists[0]))
    assert ranked == turned_round(sample_lists[0], RescoreOptions())
    assert service.methods() == ["Rescore"] * 3


def test_a_deadline_that_passes_is_an_error(target, service, sample_lists):
    """The server never answers; the client does."""
    service.release.clear()
    with pytest.raises(DeadlineExceeded):
        called(target, lambda client: client.rescore(sample_lists[0], timeout_seconds=0.05))


def test_the_token_goes_with_every_call(target, service, sample_lists):
    """As a bearer token."""
    called(target, lambda client: client.rescore(sample_lists[0]), token="abc")
    assert service.calls[0][3]["authorization"] == "Bearer abc"


def test_a_cancelled_call_is_cancelled_on_the_server(target, service, sample_lists):
    """The server need not work for a caller who has gone."""

    async def cancelled(client):
        task = asyncio.create_task(client.rescore(sample_lists[0]))
        await asyncio.to_thread(service.arrived.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(service.ended.wait)

    service.release.clear()
    called(target, cancelled)
    assert service.ended.is_set()
    assert not service.release.is_set()
