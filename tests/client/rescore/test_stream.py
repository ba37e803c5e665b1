"""lorb_client.rescore.stream: concurrent calls, ordered answers, located errors."""

import threading
from pathlib import Path

import pytest

from lorb.errors import InvalidInput, LorbError, ModelFailed, Overloaded, UnknownDomain
from lorb.formats import ListRecord, read_list_records
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import RescoreOptions
from lorb_client import Client
from lorb_client.rescore.stream import MAX_CHARS_PER_CALL, StreamLimits, chunks, rescored_records
from support.servers.rescoring_server import reversed_ranking

OPTIONS = RescoreOptions()


@pytest.fixture
def records(test_file):
    """Records of the sample's test lists."""
    return read_list_records([test_file])


@pytest.fixture
def client(target):
    """A client of the running server."""
    with Client(target, timeout_seconds=30) as connected:
        yield connected


def record(num_chars):
    """Returns a record of a list of this size."""
    return ListRecord(NBest((Hypothesis("x" * num_chars),)), {}, Path("lists"), 1)


@pytest.mark.parametrize("limits", [StreamLimits(1, 1), StreamLimits(4, 16), StreamLimits(8, 1000)])
def test_answers_come_in_the_lists_order(client, records, limits):
    """Every list has its own answer, once and in order, for any number of concurrent calls."""
    records = records[:60]
    answers = list(rescored_records(client, records, OPTIONS, limits))
    assert answers == [(each, reversed_ranking(each.nbest, OPTIONS)) for each in records]


def test_no_more_calls_are_under_way_than_allowed(client, service, records):
    """The number of concurrent calls stays within the limit."""
    lock, under_way, peak = threading.Lock(), 0, 0
    both_started = threading.Barrier(2)

    def answer(nbest, options):
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
        both_started.wait(timeout=30)  # passes only when two calls are under way at once
        with lock:
            under_way -= 1
        return reversed_ranking(nbest, options)

    service.answer = answer
    assert len(list(rescored_records(client, records[:20], OPTIONS, StreamLimits(2, 1)))) == 20
    assert peak == 2


def test_calls_hold_as_many_lists_as_allowed(client, service, records):
    """Calls hold as many lists as allowed."""
    list(rescored_records(client, records[:20], OPTIONS, StreamLimits(2, 8)))
    assert sorted(len(request.requests) for _, request, _, _ in service.calls) == [4, 8, 8]


def test_chunks_are_bounded_in_lists_and_characters():
    """Chunks keep both limits and lose no list; a larger list goes alone."""
    sizes = [MAX_CHARS_PER_CALL // 2, MAX_CHARS_PER_CALL // 2, 1, 1, 1, MAX_CHARS_PER_CALL * 2, 1]
    cut = [[len(each.nbest.hypotheses[0].transcript) for each in c] for c in chunks([record(s) for s in sizes], 2)]
    assert cut == [sizes[:2], sizes[2:4], sizes[4:5], sizes[5:6], sizes[6:]]


@pytest.mark.parametrize("error", [InvalidInput("too long", field="context"), Overloaded("no room")])
def test_a_lists_error_names_its_file_and_line(client, service, records, error):
    """The first list that fails ends the run, and its error names file and line."""

    def answer(nbest, options):
        if nbest.id == records[6].nbest.id:
            raise error
        return reversed_ranking(nbest, options)

    service.answer = answer
    with pytest.raises(type(error)) as caught:
        list(rescored_records(client, records, OPTIONS, StreamLimits(2, 4, max_wait_seconds=0)))
    assert caught.value.message == f"{records[6].path}:7: {error.message}"


def test_an_error_of_the_whole_run_names_no_line(client, service, records):
    """An error of the whole run, such as an unknown domain, names no line."""

    def answer(nbest, options):
        raise UnknownDomain("no domain 'x'")

    service.answer = answer
    with pytest.raises(UnknownDomain) as caught:
        list(rescored_records(client, records, OPTIONS, StreamLimits()))
    assert caught.value.message == "no domain 'x'"


def test_an_error_of_a_call_ends_the_run(client, service, records):
    """An error of a whole call ends the run."""
    service.failures = [ModelFailed("the model failed")]
    with pytest.raises(LorbError, match="the model failed"):
        list(rescored_records(client, records, OPTIONS, StreamLimits(1, 4)))


def test_an_overloaded_call_is_retried(client, service, records):
    """A call that is refused as overloaded is retried, and all answers stay in order."""
    service.failures = [Overloaded("send fewer"), Overloaded("send fewer")]
    answers = list(rescored_records(client, records[:20], OPTIONS, StreamLimits(2, 4)))
    assert answers == [(each, reversed_ranking(each.nbest, OPTIONS)) for each in records[:20]]
    assert len(service.calls) == 7


def test_retries_end_after_the_maximum_wait(client, service, records):
    """The overload error is raised after the maximum wait."""
    service.failures = [Overloaded("send fewer")]
    with pytest.raises(Overloaded, match="send fewer"):
        list(rescored_records(client, records, OPTIONS, StreamLimits(1, 4, max_wait_seconds=0)))


def test_closing_early_stops_the_retries(client, service, records):
    """Closing the generator ends a call that waits for an overloaded server."""

    def answer(nbest, options):
        service.failures = [Overloaded("send fewer")] * 1000
        return reversed_ranking(nbest, options)

    service.answer = answer
    answers = rescored_records(client, records, OPTIONS, StreamLimits(1, 1, max_wait_seconds=3600))
    next(answers)
    service.wait_for_calls(2)
    answers.close()
    assert service.failures


def test_closing_early_stops_the_calls_under_way(client, service, records):
    """Closing the generator closes the client and stops the calls under way."""
    answers = rescored_records(client, records, OPTIONS, StreamLimits(1, 1))
    next(answers)
    service.release.clear()
    answers.close()
    with pytest.raises(ValueError, match="closed"):
        client.server_info()
    assert len(service.calls) < 5
