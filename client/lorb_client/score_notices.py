"""Checks the first-pass scores of the lists that a command sends, and words the findings for standard error."""

from collections.abc import Sequence

from lorb.finding import Finding, Severity
from lorb.formats import ListRecord
from lorb.nbest import NBest
from lorb.score_checks import NOT_BEST_FIRST, score_findings


def suspicious_scores(records: Sequence[ListRecord]) -> list[Finding]:
    """Checks all lists together, and each file on its own. Returns findings worth a notice.

    A finding with Severity.ERROR says that the scores are costs: rescoring would rank the worst hypotheses first.
    """
    by_file: dict[str, list[NBest]] = {}
    for record in records:
        by_file.setdefault(str(record.path), []).append(record.nbest)
    name = next(iter(by_file)) if len(by_file) == 1 else f"{len(by_file)} files"
    return [
        finding
        for finding in score_findings({name: [record.nbest for record in records]}, {name: by_file})
        if finding.severity is not Severity.NOTE or finding.what == NOT_BEST_FIRST
    ]


def notice(finding: Finding) -> str:
    """Returns the line that a command prints about a finding."""
    if finding.what == NOT_BEST_FIRST:
        return (
            f"{finding.count:,} of {finding.total:,} lists do not stand in the order of their scores: "
            "the hypothesis with the highest score counts as the first pass"
        )
    return finding.message
