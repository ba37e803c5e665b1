"""lorb_client.load.run: loads on a real gRPC server."""

import itertools
import threading
from collections import Counter
from dataclasses import replace

import pytest

from lorb.errors import InvalidInput, Overloaded, Unavailable, UnknownDomain
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackPolicy, FallbackReason, Outcome, RankedHypothesis, RescoreOptions
from lorb_client.access import Access
from lorb_client.load.arrivals import Arrivals, Step
from lorb_client.load.run import LoadConfig, run_load
from lorb_client.load.workload import parse_domains
from support.servers.rescoring_server import ScriptedService, reversed_ranking, serving

LISTS = [NBest(tuple(Hypothesis(f"text {i} {j}", -float(j)) for j in range(4)), id=f"u{i}") for i in range(10)]
QUICK = Step(400, 0.1)
NUM_CALLS = 40
LONG_SECONDS = 60.0  # a time limit that no test reaches


@pytest.fixture
def config(target):
    """40 calls with a long deadline."""
    return LoadConfig(target, LISTS, (QUICK,), Arrivals.CONSTANT, deadline_seconds=LONG_SECONDS, num_connections=2)


def sent(service):
    """Returns the requests of the load, without the first call to each domain."""
    return [request for method, request, *_ in service.calls if method == "Rescore"][1:]


def test_every_call_arrives_and_is_counted(config, service):
    """All 40 calls of four hypotheses arrive and are counted, without the first call."""
    result = run_load(config)
    assert len(sent(service)) == NUM_CALLS
    assert result.endings == {"rescored": NUM_CALLS}
    assert result.rescored_hypotheses_per_second == pytest.approx(4 * NUM_CALLS / 0.1)
    assert (result.within_deadline, result.num_due, result.interrupted) == (1.0, NUM_CALLS, False)
    assert result.server == {"server_version": "0.1.0", "base_name": "none", "device": "cpu", "dtype": "float32"}


def test_outcomes_are_counted_as_the_server_answers(config, service):
    """Calls and scored hypotheses are counted by the outcome and reason of the answer."""
    turns = itertools.cycle(range(5))
    lock = threading.Lock()

    def answer(nbest, options):
        with lock:
            turn = next(turns)
        return outcomes[turn](reversed_ranking(nbest, options))

    def partly(ranked):
        unscored = tuple(RankedHypothesis(each.index, each.transcript) for each in ranked.hypotheses[2:])
        hypotheses = (*ranked.hypotheses[:2], *unscored)
        return replace(ranked, hypotheses=hypotheses, outcome=Outcome.PARTIAL, fallback_reason=FallbackReason.DEADLINE)

    def first_pass(reason):
        def degraded(ranked):
            unscored = tuple(RankedHypothesis(each.index, each.transcript) for each in ranked.hypotheses)
            return replace(ranked, hypotheses=unscored, outcome=Outcome.FIRST_PASS, fallback_reason=reason)

        return degraded

    def refused(ranked):
        raise Overloaded("no room")

    outcomes = [
        lambda ranked: ranked,
        partly,
        first_pass(FallbackReason.QUEUE_FULL),
        first_pass(FallbackReason.DEADLINE),
        refused,
    ]
    service.answer = answer
    result = run_load(config)  # the first call takes the first turn
    assert Counter(result.endings) == {
        "rescored": 8,
        "partial deadline": 8,
        "first_pass queue_full": 8,
        "first_pass deadline": 8,
        "refused resource_exhausted": 8,
    }
    assert result.rescored_hypotheses_per_second == pytest.approx(8 * 4 / 0.1)
    assert result.partial_hypotheses_per_second == pytest.approx(8 * 2 / 0.1)
    assert result.within_deadline == pytest.approx(32 / 40)


def test_a_server_that_does_not_answer_is_not_waited_for(config, service):
    """If the server never answers, all calls are sent and end at their deadline."""
    first_call_done = threading.Event()
    release = threading.Event()

    def answer(nbest, options):
        if first_call_done.is_set():
            release.wait(LONG_SECONDS)
        first_call_done.set()
        return reversed_ranking(nbest, options)

    service.answer = answer
    try:
        result = run_load(replace(config, deadline_seconds=0.3))
    finally:
        release.set()
    assert result.endings == {"no_answer deadline_exceeded": NUM_CALLS}
    assert (result.within_deadline, result.num_answered, result.num_unfinished) == (0.0, 0, 0)


def test_no_call_is_retried(config, service):
    """An UNAVAILABLE call is counted as refused and not retried."""

    def answer(nbest, options):
        if nbest.id == "u3":  # every tenth call; the first call's list is u0
            raise Unavailable("draining")
        return reversed_ranking(nbest, options)

    service.answer = answer
    result = run_load(config)
    assert len(sent(service)) == NUM_CALLS
    assert result.endings == {"rescored": NUM_CALLS - 4, "refused unavailable": 4}


def test_the_same_seed_sends_the_same_calls_from_any_number_of_processes(config, service):
    """Equal seeds send the same calls from one process and from two."""
    config = replace(config, arrivals=Arrivals.POISSON, domains=parse_domains("a=3,b=1"), seed=5)
    results, seen = [], []
    for num_processes in (1, 1, 2):
        service.calls.clear()
        results.append(run_load(replace(config, num_processes=num_processes)))
        requests = [request for method, request, *_ in service.calls if method == "Rescore"]
        seen.append(Counter((request.domain, request.request_id) for request in requests))
    assert seen[0] == seen[1] == seen[2]
    assert len({result.num_due for result in results}) == 1
    assert all(result.endings == {"rescored": result.num_due} for result in results)


def test_every_option_reaches_the_server(config, service):
    """Policy, domain, number of hypotheses, deadline and token are in the calls."""
    options = RescoreOptions(fallback_policy=FallbackPolicy.FAIL)
    run_load(
        replace(config, options=options, domains=parse_domains("a@canary"), num_hypotheses=3, access=Access("abc"))
    )
    method, request, seconds_left, metadata = service.calls[-1]
    assert method == "Rescore"
    assert (request.domain, request.fallback_policy, len(request.hypotheses)) == ("a@canary", 2, 3)
    assert 0 < seconds_left <= 1.05 * LONG_SECONDS
    assert metadata["authorization"] == "Bearer abc"


def test_the_warm_up_is_extra(config, service):
    """The warm-up adds calls that are not counted."""
    result = run_load(replace(config, warm_up_seconds=0.1))
    assert (result.num_due, result.seconds) == (NUM_CALLS, 0.1)
    assert len(sent(service)) == 2 * NUM_CALLS


def test_an_unknown_domain_is_found_before_the_load(config, service):
    """An unknown domain is raised after one call."""
    service.failures = []

    def answer(nbest, options):
        raise UnknownDomain("no domain 'nix' is served here")

    service.answer = answer
    with pytest.raises(UnknownDomain, match="nix"):
        run_load(replace(config, domains=parse_domains("nix")))
    assert service.methods() == ["GetServerInfo", "Rescore"]


def test_an_unreachable_server_is_named():
    """An unreachable server raises Unavailable with its address."""
    with serving(ScriptedService()) as address:
        pass
    with pytest.raises(Unavailable, match=f"no server answers at {address}"):
        run_load(LoadConfig(address, LISTS, (QUICK,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"deadline_seconds": 0.0},
        {"deadline_seconds": float("nan")},
        {"warm_up_seconds": -1.0},
        {"warm_up_seconds": float("nan")},
        {"warm_up_seconds": float("inf")},
        {"num_connections": 0},
        {"in_flight_limit": 0},
        {"num_processes": 0},
        {"num_hypotheses": 0},
        {"target": ""},
        {"lists": []},
    ],
)
def test_an_invalid_configuration_is_refused(config, service, changes):
    """An invalid configuration is refused before any call."""
    with pytest.raises(InvalidInput):
        run_load(replace(config, **changes))
    assert service.calls == []
