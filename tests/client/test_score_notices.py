"""lorb_client.score_notices: which findings a command prints, and in which words."""

from dataclasses import replace
from pathlib import Path

import pytest

from lorb.finding import Severity
from lorb.formats import ListRecord
from lorb.nbest import Hypothesis, NBest
from lorb_client.score_notices import notice, suspicious_scores


def records(*scores, path="a.jsonl", count=10):
    """Equal lists with these scores, in one file."""
    nbest = NBest(tuple(Hypothesis(f"text {i}", score) for i, score in enumerate(scores)), id="u")
    return [ListRecord(nbest, {}, Path(path), i + 1) for i in range(count)]


def notices(lists):
    """The lines that a command prints."""
    return [notice(finding) for finding in suspicious_scores(lists)]


def test_lists_with_good_scores_or_none_need_no_notice():
    """Natural logs need no notice, nor do lists without any scores."""
    assert notices(records(-1.0, -2.0)) == notices(records(None, None)) == []


def test_one_list_in_a_wrong_order_is_counted():
    """Even one list whose best does not stand first is counted, because it decides what the first pass is."""
    lists = records(-1.0, -2.0, count=99) + records(-2.0, -1.0, count=1)
    [line] = notices(lists)
    assert line.startswith("1 of 100 lists do not stand in the order of their scores: ")


def test_costs_are_an_error():
    """Rising scores are the one error; its line names the file."""
    [finding] = suspicious_scores(records(1.0, 2.0))
    assert finding.severity is Severity.ERROR
    assert notice(finding).startswith("a.jsonl: scores rise from best to worst: 10 of 10, such as 'u': they look like")


def test_some_lists_without_scores_are_named():
    """Scores that only some lists have are named, with the number of files if there are several."""
    [line] = notices(records(-1.0, -2.0) + records(None, None, path="b.jsonl", count=2))
    assert line.startswith("2 files: lists without scores: 2 of 12")


@pytest.mark.parametrize(("count", "lines"), [(10, 1), (9, 0)])
def test_files_on_different_scales_are_named(count, lines):
    """A file of ten lists or more whose scores spread ten times as far as the first file's is named."""
    found = notices(records(-1.0, -2.0) + records(-1.0, -11.0, path="b.jsonl", count=count))
    assert [line.partition(":")[0] for line in found] == ["a.jsonl and b.jsonl"] * lines


def test_a_pruning_mark_needs_no_notice():
    """A decoder's mark far below the best is only a note of the audit."""
    lists = records(-1.0, -2.0)
    marked = replace(lists[0].nbest, hypotheses=(*lists[0].nbest.hypotheses, Hypothesis("x", -5e9)))
    assert notices([replace(lists[0], nbest=marked), *lists[1:]]) == []
