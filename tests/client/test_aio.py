"""lorb_client.aio: the asyncio client behaves like the blocking client."""

import asyncio
import inspect

import pytest

from lorb.errors import DeadlineExceeded, InvalidInput, Overloaded, Unavailable
from lorb.ranked import RescoreOptions
from lorb_client import AioClient, Client
from support.servers.rescoring_server import INFO, reversed_ranking


def called(target, coroutine, **settings):
    """Runs `coroutine` with a connected client."""

    async def connected():
        async with AioClient(target, **{"timeout_seconds": 10} | settings) as client:
            return await coroutine(client)

    return asyncio.run(connected())


def test_both_clients_take_the_same_arguments():
    """The methods of both clients have equal signatures."""
    for name in ("__init__", "rescore", "rescore_batch", "server_info", "close"):
        blocking, awaited = (inspect.signature(getattr(kind, name)) for kind in (Client, AioClient))
        assert blocking == awaited, name


def test_lists_come_back_as_the_server_ranked_them(target, sample_lists):
    """Fifty concurrent calls each return their own list as the server ranked it."""

    async def all_at_once(client):
        return await asyncio.gather(*(client.rescore(nbest) for nbest in sample_lists[:50]))

    assert called(target, all_at_once) == [reversed_ranking(nbest, RescoreOptions()) for nbest in sample_lists[:50]]


def test_a_batch_and_server_info(target, sample_lists):
    """rescore_batch and server_info return the server's answers."""
    results = called(target, lambda client: client.rescore_batch(sample_lists[:3]))
    assert results == [reversed_ranking(nbest, RescoreOptions()) for nbest in sample_lists[:3]]
    assert called(target, lambda client: client.server_info()) == INFO


def test_a_batch_has_a_deadline_of_its_own(target, service, sample_lists):
    """A batch has the server's 60 s and not the second of single lists, unless client or call give a deadline."""
    called(target, lambda client: client.rescore_batch(sample_lists[:2]), timeout_seconds=10)
    called(target, lambda client: client.rescore_batch(sample_lists[:2]), timeout_seconds=None)
    called(target, lambda client: client.rescore_batch(sample_lists[:2], timeout_seconds=2000))
    given, default, own = [seconds for _, _, seconds, _ in service.calls]
    assert 0 < given < 11 < 30 < default < 66 < own < 2200


@pytest.mark.parametrize("error", [InvalidInput("too long", field="context"), Overloaded("full")])
def test_errors_arrive_as_they_were_raised(target, service, sample_lists, error):
    """An error of the server arrives with type, message and field, without a retry."""
    service.failures = [error]
    with pytest.raises(type(error)) as caught:
        called(target, lambda client: client.rescore(sample_lists[0]))
    assert (caught.value.message, caught.value.field) == (error.message, error.field)
    assert service.methods() == ["Rescore"]


def test_unavailable_is_tried_again(target, service, sample_lists):
    """A call that fails with UNAVAILABLE is retried."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    ranked = called(target, lambda client: client.rescore(sample_lists[0]))
    assert ranked == reversed_ranking(sample_lists[0], RescoreOptions())
    assert service.methods() == ["Rescore"] * 3


def test_a_deadline_that_passes_is_an_error(target, service, sample_lists):
    """A call that is not answered within its deadline raises DeadlineExceeded."""
    service.release.clear()
    with pytest.raises(DeadlineExceeded):
        called(target, lambda client: client.rescore(sample_lists[0], timeout_seconds=0.05))


def test_the_token_goes_with_every_call(target, service, sample_lists):
    """The token is sent as a bearer token."""
    called(target, lambda client: client.rescore(sample_lists[0]), token="abc")
    assert service.calls[0][3]["authorization"] == "Bearer abc"


def test_a_cancelled_call_is_cancelled_on_the_server(target, service, sample_lists):
    """Cancelling a coroutine cancels the call on the server."""

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
