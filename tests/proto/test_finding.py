"""lorb.finding: a finding about lists."""

from lorb.finding import Finding, Severity, findings_about
from lorb.nbest import Hypothesis, NBest

LISTS = [NBest((Hypothesis("a"),), id=f"u{i}") for i in range(1200)]


def test_a_finding_names_the_first_list():
    """A finding counts the affected lists and names the first; its message is one line."""
    [finding] = findings_about(LISTS, Severity.WARNING, "dev", "no scores", 2000, "score them")
    assert finding == Finding(Severity.WARNING, "dev", "no scores", 1200, 2000, "u0", "score them")
    assert finding.message == "dev: no scores: 1,200 of 2,000, such as 'u0': score them"


def test_no_list_is_no_finding():
    """Without affected lists there is no finding."""
    assert findings_about([], Severity.NOTE, "dev", "no scores", 2000, "score them") == []
