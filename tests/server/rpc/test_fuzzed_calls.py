"""A running server under random bytes and mutated requests."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.faulty_input.fuzzed_calls import cases, send, send_raw
from support.faulty_input.mutations import edited, edits
from support.servers.serving import running_server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture(scope="module")
def fuzzed(tiny_bert, shared_store):
    """A server that must give the same answer after the fuzzed calls as before."""
    with running_server(tiny_bert, shared_store.url, allow_pinned_versions=True) as server:
        before = server.rescore("the cat sat", "the cat sad")
        yield server
        after = server.rescore("the cat sat", "the cat sad")
        assert [each.combined_score for each in after.hypotheses] == [each.combined_score for each in before.hypotheses]


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(cases)
def test_every_request_gets_a_proper_status(fuzzed, case):
    """Every mutated request gets an answer, or a status that says what is wrong with it."""
    send(fuzzed, *case)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.binary(max_size=200), st.builds(lambda changes: edited(PREFACE, changes), edits)))
def test_bytes_that_are_not_http_end_only_their_connection(fuzzed, content):
    """After a connection with random bytes, the next call is answered."""
    send_raw(fuzzed, content)
    assert fuzzed.rescore("the cat").hypotheses
