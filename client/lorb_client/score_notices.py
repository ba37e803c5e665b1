"""Checks the first-pass scores of the lists that a command sends, and words the findings for standard error."""

from collections.abc import Sequence
from pathlib import Path

from lorb.finding import Finding, Severity
from lorb.formats import ListRecord
from lorb.nbest import NBest
from lorb.score_checks import MIN_CHECKED_LISTS, NOT_BEST_FIRST, scale_findings, score_findings


def suspicious_scores(records: Sequence[ListRecord]) -> list[Finding]:
    """Checks all lists together, and the scales of the files against each other. Returns findings worth a notice.

    A finding with Severity.ERROR says that the scores are costs: rescoring would rank the worst hypotheses first.
    """
    by_file: dict[Path, list[NBest]] = {}
    for record in records:
        by_file.setdefault(record.path, []).append(record.nbest)
    name = str(next(iter(by_file))) if len(by_file) == 1 else f"{len(by_file)} files"
    findings = [
        finding
        for finding in score_findings({name: [record.nbest for record in records]})
        if finding.severity is not Severity.NOTE or finding.what == NOT_BEST_FIRST
    ]
    if findings:  # scores with a wrong sign or logarithm have other scales anyway
        return findings
    large = {
        str(path): scored
        for path, lists in by_file.items()
        if len(scored := [nbest for nbest in lists if nbest.has_scores]) >= MIN_CHECKED_LISTS
    }
    return scale_findings(large)


def notice(finding: Finding) -> str:
    """Returns the line that a command prints about a finding."""
    if finding.what == NOT_BEST_FIRST:
        return (
            f"{finding.count:,} of {finding.total:,} lists do not stand in the order of their scores: "
            "the hypothesis with the highest score counts as the first pass"
        )
    return finding.message
