"""lorb_client.client: answers, errors, deadlines and retries on a real server."""

import socket

import grpc
import pytest

from lorb.errors import (
    DeadlineExceeded,
    InvalidInput,
    LorbError,
    ModelFailed,
    Overloaded,
    Unauthenticated,
    Unavailable,
    UnknownDomain,
)
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackPolicy, RescoreOptions, Selection
from lorb.wire import nbest_from_request, options_from_request
from lorb_client import Client
from support.servers.rescoring_server import INFO, ScriptedService, reversed_ranking, serving

OPTIONS = RescoreOptions("librispeech@stable", 0.5, FallbackPolicy.FAIL, 3, Selection.MBR, "caller 7")


@pytest.fixture
def client(target):
    """A client of the running server."""
    with Client(target, timeout_seconds=10) as connected:
        yield connected


def test_a_list_comes_back_as_the_server_ranked_it(client, sample_lists):
    """Order, scores, outcome and adapter of real lists equal what the server sent."""
    for nbest in sample_lists[:20]:
        assert client.rescore(nbest, OPTIONS) == reversed_ranking(nbest, OPTIONS)


def test_the_server_sees_list_and_options(client, service):
    """The request holds the list and all options."""
    nbest = NBest((Hypothesis("a", -1.0, {"lm": -0.5}), Hypothesis("", -2.0)), "u1", "what next?")
    client.rescore(nbest, OPTIONS)
    (_, request, _, _) = service.calls[0]
    assert (nbest_from_request(request), options_from_request(request)) == (nbest, OPTIONS)


def test_a_batch_answers_each_list(client, service, sample_lists):
    """Each list of a batch has its own answer or error, in one call."""

    def answer(nbest, options):
        if nbest.id == sample_lists[1].id:
            raise Overloaded("no room")
        return reversed_ranking(nbest, options)

    service.answer = answer
    first, second, third = client.rescore_batch(sample_lists[:3])
    assert service.methods() == ["BatchRescore"]
    assert (first, third) == tuple(reversed_ranking(sample_lists[i], RescoreOptions()) for i in (0, 2))
    assert (type(second), second.message) == (Overloaded, "no room")


def test_an_empty_batch_is_an_empty_answer(client):
    """An empty batch gives an empty list."""
    assert client.rescore_batch([]) == []


def test_server_info_arrives(client):
    """server_info returns what the server sent."""
    assert client.server_info() == INFO


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("too long", field="hypotheses[3].transcript"),
        UnknownDomain("no domain 'x': this server has librispeech", field="domain"),
        Overloaded("the queue is full"),
        ModelFailed("the model failed"),
        Unauthenticated("no token"),
    ],
)
def test_errors_arrive_as_they_were_raised(client, service, sample_lists, error):
    """An error of the server arrives with type, message and field, without a retry."""
    service.failures = [error]
    with pytest.raises(LorbError) as caught:
        client.rescore(sample_lists[0])
    assert (type(caught.value), caught.value.message, caught.value.field) == (
        type(error),
        error.message,
        error.field,
    )
    assert service.methods() == ["Rescore"]


def test_the_longest_message_arrives(client, service, sample_lists):
    """An error with a very long message arrives."""
    service.failures = [InvalidInput("\N{GRINNING FACE}" * 10_000, field="x" * 10_000)]
    with pytest.raises(InvalidInput) as caught:
        client.rescore(sample_lists[0])
    assert caught.value.message.startswith("\N{GRINNING FACE}")


def test_unavailable_is_tried_again(client, service, sample_lists):
    """A call that fails twice with UNAVAILABLE is retried and answered."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    assert client.rescore(sample_lists[0]) == reversed_ranking(sample_lists[0], RescoreOptions())
    assert service.methods() == ["Rescore"] * 3


def test_a_large_batch_is_tried_again_too(client, service):
    """A batch of 400 KB, over gRPC's default retry buffer, is retried too."""
    lists = [NBest((Hypothesis(f"{i} " + "x" * 100_000),), id=f"u{i}") for i in range(4)]
    service.failures = [Unavailable("draining")]
    assert client.rescore_batch(lists) == [reversed_ranking(nbest, RescoreOptions()) for nbest in lists]
    assert service.methods() == ["BatchRescore"] * 2


def test_the_third_unavailable_is_raised(client, service, sample_lists):
    """The third UNAVAILABLE is raised with the server's message."""
    service.failures = [Unavailable("draining")] * 3
    with pytest.raises(Unavailable, match="draining"):
        client.rescore(sample_lists[0])
    assert service.methods() == ["Rescore"] * 3


def test_the_timeout_is_the_servers_deadline(target, service, sample_lists):
    """The server sees the client's timeout as its deadline, which gRPC rounds up by some per cent."""
    with Client(target, timeout_seconds=10_000) as client:
        client.rescore(sample_lists[0], timeout_seconds=100)
        client.rescore(sample_lists[0])
    one, other = [seconds for _, _, seconds, _ in service.calls]
    assert 0 < one < 110 < other < 11_000


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 60),
        ({"timeout_seconds": 10}, 10),
        ({"timeout_seconds": 900}, 900),
        ({"batch_timeout_seconds": 300}, 300),
        ({"timeout_seconds": 900, "batch_timeout_seconds": 10}, 10),
    ],
)
def test_a_batch_has_a_deadline_of_its_own(target, service, sample_lists, settings, expected):
    """A batch has 60 s, like a batch without deadline on the server, unless the caller gives the client a deadline."""
    with Client(target, **settings) as client:
        client.rescore_batch(sample_lists[:2])
        client.rescore_batch(sample_lists[:2], timeout_seconds=2000)
    one, other = [seconds for _, _, seconds, _ in service.calls]
    assert expected / 2 < one < 1.1 * expected < other < 2200


def test_a_deadline_that_passes_is_an_error_and_no_wait(client, service, sample_lists):
    """A call that is not answered within its deadline raises DeadlineExceeded."""
    service.release.clear()
    with pytest.raises(DeadlineExceeded):
        client.rescore(sample_lists[0], timeout_seconds=0.05)


def test_no_server_is_unavailable():
    """A refused connection raises Unavailable, with gRPC's error as its cause."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with Client(f"127.0.0.1:{port}", timeout_seconds=10) as client, pytest.raises(Unavailable) as caught:
        client.server_info()
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_wait_for_ready_waits_for_a_server(sample_lists):
    """With wait_for_ready a call before the server is up is answered once it is."""
    service = ScriptedService()
    with serving(service) as address:
        pass
    with Client(address, timeout_seconds=30, wait_for_ready=True) as client:
        with pytest.raises(DeadlineExceeded):
            client.rescore(sample_lists[0], timeout_seconds=0.1)
        with serving(service, address):
            client.rescore(sample_lists[0])
    assert service.methods() == ["Rescore"]


def test_the_token_goes_with_every_call(target, service, sample_lists):
    """The token is sent with all methods as a bearer token."""
    with Client(target, timeout_seconds=10, token="abc") as client:
        client.rescore(sample_lists[0])
        client.rescore_batch(sample_lists[:1])
        client.server_info()
    assert [metadata["authorization"] for *_, metadata in service.calls] == ["Bearer abc"] * 3


def test_a_list_that_cannot_be_sent_is_refused_by_the_client(client, service):
    """A lone surrogate is refused with its field before any call."""
    with pytest.raises(InvalidInput) as caught:
        client.rescore(NBest((Hypothesis("\ud800"),)))
    assert caught.value.field == "hypotheses[0].transcript"
    assert service.calls == []


def test_a_too_large_call_is_invalid_input(client):
    """A call over the server's size limit raises InvalidInput and says what to do."""
    with pytest.raises(InvalidInput, match="larger than max.*send less in one call"):
        client.rescore(NBest((Hypothesis("x" * 5_000_000),)))
