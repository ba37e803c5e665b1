"""lorb_client.client: real calls, with the answers, errors, deadlines and retries of the contract."""

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
from support.servers.rescoring_server import INFO, ScriptedService, serving, turned_round

OPTIONS = RescoreOptions("librispeech@stable", 0.5, FallbackPolicy.FAIL, 3, Selection.MBR, "caller 7")


@pytest.fixture
def client(target):
    """Connected to the server."""
    with Client(target, timeout_seconds=10) as connected:
        yield connected


def test_a_list_comes_back_as_the_server_ranked_it(client, sample_lists):
    """Order, scores, outcome and adapter of real lists arrive as they were sent."""
    for nbest in sample_lists[:20]:
        assert client.rescore(nbest, OPTIONS) == turned_round(nbest, OPTIONS)


def test_the_server_sees_list_and_options(client, service):
    """Everything the caller asks for is in the request."""
    nbest = NBest((Hypothesis("a", -1.0, {"lm": -0.5}), Hypothesis("", -2.0)), "u1", "what next?")
    client.rescore(nbest, OPTIONS)
    (_, request, _, _) = service.calls[0]
    assert (nbest_from_request(request), options_from_request(request)) == (nbest, OPTIONS)


def test_a_batch_answers_each_list(client, service, sample_lists):
    """One call; a list that fails has its error in its place and spoils no other."""

    def answer(nbest, options):
        if nbest.id == sample_lists[1].id:
            raise Overloaded("no room")
        return turned_round(nbest, options)

    service.answer = answer
    first, second, third = client.rescore_batch(sample_lists[:3])
    assert service.methods() == ["BatchRescore"]
    assert (first, third) == tuple(turned_round(sample_lists[i], RescoreOptions()) for i in (0, 2))
    assert (type(second), second.message) == (Overloaded, "no room")


def test_an_empty_batch_is_an_empty_answer(client):
    """No list, no result."""
    assert client.rescore_batch([]) == []


def test_server_info_arrives(client):
    """What the server is."""
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
    """Type, message and field, and no second attempt."""
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
    """Trailing metadata has a limit, and no error text may run into it."""
    service.failures = [InvalidInput("\N{GRINNING FACE}" * 10_000, field="x" * 10_000)]
    with pytest.raises(InvalidInput) as caught:
        client.rescore(sample_lists[0])
    assert caught.value.message.startswith("\N{GRINNING FACE}")


def test_unavailable_is_tried_again(client, service, sample_lists):
    """Two servers' worth of bad luck go unnoticed."""
    service.failures = [Unavailable("draining"), Unavailable("draining")]
    assert client.rescore(sample_lists[0]) == turned_round(sample_lists[0], RescoreOptions())
    assert service.methods() == ["Rescore"] * 3


def test_a_large_batch_is_tried_again_too(client, service):
    """400 KB: what gRPC keeps for a second attempt is by default less."""
    lists = [NBest((Hypothesis(f"{i} " + "x" * 100_000),), id=f"u{i}") for i in range(4)]
    service.failures = [Unavailable("draining")]
    assert client.rescore_batch(lists) == [turned_round(nbest, RescoreOptions()) for nbest in lists]
    assert service.methods() == ["BatchRescore"] * 2


def test_the_third_unavailable_is_raised(client, service, sample_lists):
    """Retries end, with the server's own words."""
    service.failures = [Unavailable("draining")] * 3
    with pytest.raises(Unavailable, match="draining"):
        client.rescore(sample_lists[0])
    assert service.methods() == ["Rescore"] * 3


def test_the_timeout_is_the_servers_deadline(target, service, sample_lists):
    """The server can plan with the time that the caller really has, which gRPC rounds up by some per cent."""
    with Client(target, timeout_seconds=10_000) as client:
        client.rescore(sample_lists[0], timeout_seconds=100)
        client.rescore(sample_lists[0])
    one, other = [seconds for _, _, seconds, _ in service.calls]
    assert 0 < one < 110 < other < 11_000


def test_a_deadline_that_passes_is_an_error_and_no_wait(client, service, sample_lists):
    """The server never answers; the client does."""
    service.release.clear()
    with pytest.raises(DeadlineExceeded):
        client.rescore(sample_lists[0], timeout_seconds=0.05)


def test_no_server_is_unavailable():
    """Nobody listens: an error of ours, with gRPC's reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with Client(f"127.0.0.1:{port}", timeout_seconds=10) as client, pytest.raises(Unavailable) as caught:
        client.server_info()
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_wait_for_ready_waits_for_a_server(sample_lists):
    """A call made before the server is up is answered once it is."""
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
    """As a bearer token."""
    with Client(target, timeout_seconds=10, token="abc") as client:
        client.rescore(sample_lists[0])
        client.rescore_batch(sample_lists[:1])
        client.server_info()
    assert [metadata["authorization"] for *_, metadata in service.calls] == ["Bearer abc"] * 3


def test_a_list_that_cannot_be_sent_is_refused_here(client, service):
    """Half a surrogate pair is named by its field, and no call is made."""
    with pytest.raises(InvalidInput) as caught:
        client.rescore(NBest((Hypothesis("\ud800"),)))
    assert caught.value.field == "hypotheses[0].transcript"
    assert service.calls == []


def test_a_call_larger_than_the_server_takes_is_no_overload(client):
    """What gRPC refuses itself has its words and says what to do; it would be refused again later."""
    with pytest.raises(InvalidInput, match="larger than max.*send less in one call"):
        client.rescore(NBest((Hypothesis("x" * 5_000_000),)))
