"""lorb.score_checks: findings about first-pass scores; the audit's tests plant each defect in real lists."""

import pytest

from lorb.finding import Severity
from lorb.nbest import Hypothesis, NBest
from lorb.score_checks import NO_SCORES, NOT_BEST_FIRST, scale_findings, score_findings, score_spread, scores_of


def scored(*scores):
    """A list with these scores."""
    return NBest(tuple(Hypothesis(f"text {i}", score) for i, score in enumerate(scores)), id="u")


def found(lists):
    """The severity, text and count of each finding about one set."""
    return [(each.severity, each.what, each.count) for each in score_findings({"lists": lists})]


def test_real_lists_have_no_findings(sample_lists):
    """Real lists, best first with natural logs, give no finding."""
    assert found(sample_lists) == []


def test_ten_rising_lists_look_like_costs():
    """Nine rising lists can be chance; ten are an error."""
    assert found([scored(1.5, 2.5)] * 10) == [(Severity.ERROR, "scores rise from best to worst", 10)]
    assert found([scored(1.5, 2.5)] * 9) == [(Severity.WARNING, "only positive scores", 9)]


GOOD = [scored(-1.0, -2.0)] * 100
COSTS = [scored(1.0, 2.0)] * 100


def found_in_files(**files):
    """The name, text and count of each finding about one set of several files."""
    sets = {"set": [nbest for lists in files.values() for nbest in lists]}
    return [(each.sets, each.what, each.count) for each in score_findings(sets, {"set": files})]


def test_one_file_of_costs_is_found_among_good_ones():
    """A file of costs is named even if the lists of the set as a whole look right; other files say nothing."""
    assert found_in_files(a=GOOD, b=COSTS, c=GOOD) == [("b", "scores rise from best to worst", 100)]
    assert found_in_files(a=GOOD, b=COSTS[:9], c=GOOD) == [("set", NOT_BEST_FIRST, 9)]
    assert found_in_files(a=COSTS, b=COSTS) == [("set", "scores rise from best to worst", 200)]


def test_one_file_of_probabilities_is_found_among_good_ones():
    """A file of probabilities, or of positive scores, is named; the lists of the other files are still checked."""
    unsorted = [scored(-2.0, -1.0, -3.0)] * 20
    assert found_in_files(a=GOOD, b=[scored(0.5, 0.1)] * 10, c=unsorted) == [
        ("b", "scores from 0 to 1, like probabilities", 10),
        ("set", NOT_BEST_FIRST, 20),
    ]
    assert found_in_files(a=GOOD, b=[scored(5.0, 4.0)] * 10) == [("b", "only positive scores", 10)]


def test_one_file_on_another_scale_is_found():
    """Files of a set are compared with its first file, also if some lists stand in a wrong order."""
    wide = [scored(-1.0, -11.0)] * 99 + [scored(-11.0, -1.0)]
    assert found_in_files(a=GOOD, b=wide) == [
        ("set", NOT_BEST_FIRST, 1),
        ("a and b", "score spread 10 in b, 1 in a", 100),
    ]


def test_equal_scores_are_in_order():
    """Lists of equal scores, and lists of one hypothesis, neither rise nor stand in a wrong order."""
    assert found([scored(-1.0, -1.0)] * 20 + [scored(-3.0)] * 20) == []


@pytest.mark.parametrize(("count", "severity"), [(10, Severity.NOTE), (11, Severity.WARNING)])
def test_a_wrong_order_counts_the_lists(count, severity):
    """A list counts if a later hypothesis has a higher score than the first; above a tenth it is a warning."""
    lists = [scored(-2.0, -1.0)] * count + [scored(-1.0, -3.0, -2.0)] * (100 - count)
    assert found(lists) == [(severity, NOT_BEST_FIRST, count)]


def test_lists_without_scores_among_others_are_a_warning():
    """If only some lists have scores, the others are counted."""
    assert found([scored(-1.0, -2.0)] * 3 + [scored(None, None)]) == [(Severity.WARNING, NO_SCORES, 1)]


def test_scales_are_compared_with_the_first_set():
    """A set with ten times the spread of the first is a finding about both; a set without spread is none."""
    sets = {"a": [scored(-1.0, -2.0)] * 2, "b": [scored(-1.0)], "c": [scored(-1.0, -11.0)] * 2}
    [finding] = scale_findings(sets)
    assert (finding.sets, finding.what, finding.count) == ("a and c", "score spread 10 in c, 1 in a", 2)
    assert [score_spread(lists) for lists in sets.values()] == [1.0, 0.0, 10.0]
    assert scores_of(scored(-1.0, -3.0)) == [-1.0, -3.0]
