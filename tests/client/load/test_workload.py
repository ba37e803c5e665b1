"""lorb_client.load.workload: which requests are sent."""

from collections import Counter

import pytest

from lorb.errors import InvalidInput
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackPolicy, RescoreOptions
from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import nbest_from_request, options_from_request
from lorb_client.load.workload import DomainShare, Workload, parse_domains, truncate_lists

LISTS = [NBest(tuple(Hypothesis(f"text {i} {j}", -float(j)) for j in range(i + 1)), id=f"u{i}") for i in range(5)]


def sent(workload):
    """Returns the decoded request of each call."""
    return [pb.RescoreRequest.FromString(workload.requests[draw]) for draw in workload.draws]


def test_domains_are_drawn_by_their_shares():
    """Domains are drawn by their shares, within six deviations of 10,000 draws."""
    for text in ("a=0.7,b@canary=0.3", "a=7, b@canary=3"):
        workload = Workload.draw(LISTS, parse_domains(text), RescoreOptions(), 10_000, seed=1)
        counts = Counter(request.domain for request in sent(workload))
        assert set(counts) == {"a", "b@canary"}
        assert abs(counts["a"] - 7000) < 6 * 46


def test_every_list_comes_once_before_any_comes_again():
    """Each round of draws has every list once, and rounds differ in order."""
    ids = [
        request.request_id for request in sent(Workload.draw(LISTS, parse_domains("a,b"), RescoreOptions(), 20, seed=3))
    ]
    rounds = [ids[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(each) == ["u0", "u1", "u2", "u3", "u4"] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1


def test_equal_seeds_draw_equally():
    """Equal seeds give equal draws, and another seed gives other draws."""
    draws = [Workload.draw(LISTS, parse_domains("a,b"), RescoreOptions(), 100, seed).draws for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_a_request_carries_list_and_options():
    """A request holds the list and the options."""
    options = RescoreOptions(fallback_policy=FallbackPolicy.FAIL, top_n=2)
    for request in sent(Workload.draw(LISTS[4:], (DomainShare("a", 1),), options, 2, seed=0)):
        assert nbest_from_request(request) == LISTS[4]
        assert options_from_request(request) == RescoreOptions("a", fallback_policy=FallbackPolicy.FAIL, top_n=2)


def test_lists_are_truncated_to_their_best():
    """Longer lists keep their best hypotheses, shorter lists are unchanged, and None keeps all."""
    assert [len(nbest.hypotheses) for nbest in truncate_lists(LISTS, 3)] == [1, 2, 3, 3, 3]
    assert truncate_lists(LISTS, 3)[4].hypotheses == LISTS[4].hypotheses[:3]
    assert truncate_lists(LISTS, None) == LISTS
    with pytest.raises(InvalidInput, match="hypotheses is 0"):
        truncate_lists(LISTS, 0)


def test_the_best_of_a_list_have_the_highest_scores():
    """Where lists have scores, truncation keeps the highest, in the order of the list, wherever they stand."""
    nbest = NBest(
        tuple(Hypothesis(text, score) for text, score in (("c", -3.0), ("a", -1.0), ("b", -1.0), ("d", -2.0)))
    )
    [kept] = truncate_lists([nbest], 3)
    assert [hypothesis.transcript for hypothesis in kept.hypotheses] == ["a", "b", "d"]


@pytest.mark.parametrize("text", ["", "a,,b", "a=x", "a=0", "a=-1", "a=nan", "a=inf", "a,a", "../etc", "a=1=2"])
def test_wrong_domain_shares_are_refused(text):
    """Invalid names, invalid shares and repeated domains are refused."""
    with pytest.raises(InvalidInput):
        parse_domains(text)


def test_no_lists_is_an_error():
    """A workload without lists is refused."""
    with pytest.raises(InvalidInput, match="no lists"):
        Workload.draw([], parse_domains("a"), RescoreOptions(), 1, seed=0)
