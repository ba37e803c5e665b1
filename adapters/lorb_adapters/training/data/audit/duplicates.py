"""Finds duplicates: ids that repeat within a set, and ids or references that two sets share."""

from collections import Counter
from collections.abc import Sequence

from lorb.finding import Finding, Sets, Severity, findings_about
from lorb.nbest import NBest
from lorb_adapters.training.data.audit.texts import casefolded

# References of this number of words or more seldom coincide by chance; short turns of a dialogue often do.
_LONG_REFERENCE_WORDS = 8
_EXCLUSIVE_SETS = ("train", "dev", "test")


def duplicate_id_findings(sets: Sets) -> list[Finding]:
    """Finds ids that repeat within a set."""
    findings = []
    for name, lists in sets.items():
        counts = Counter(nbest.id for nbest in lists)
        first = {nbest.id: nbest for nbest in reversed(lists)}
        repeated = [first[utterance] for utterance, count in counts.items() if count > 1]
        advice = "give each list a unique id, and each list only once"
        findings += findings_about(repeated, Severity.ERROR, name, "duplicate ids", len(lists), advice)
    return findings


def overlap_findings(sets: Sets) -> list[Finding]:
    """Finds ids that two of train, dev and test share, and references that two sets share under different ids."""
    exclusive = [(name, sets[name]) for name in _EXCLUSIVE_SETS if name in sets]
    pairs = [(first, second) for i, first in enumerate(exclusive) for second in exclusive[i + 1 :]]
    findings = []
    for (name, lists), (later_name, later_lists) in pairs:
        names = f"{name} and {later_name}"
        later_ids = {nbest.id for nbest in later_lists}
        shared = [nbest for nbest in lists if nbest.id in later_ids]
        findings += _shared_ids(names, shared, len(lists))
        others = [nbest for nbest in lists if nbest.id not in later_ids]
        findings += _shared_references(names, others, later_lists)
    return findings


def _shared_ids(names: str, shared: Sequence[NBest], num_lists: int) -> list[Finding]:
    if names == "dev and test":
        severity, advice = Severity.ERROR, "remove them from one of the sets: a test must not contain lists tuned on"
    elif len(shared) == num_lists:
        severity, advice = Severity.ERROR, "give other train lists: none is left to train on"
    else:
        severity, advice = Severity.WARNING, "none needed: train leaves them out; check how the sets were split"
    return findings_about(shared, severity, names, "ids in both", num_lists, advice)


def _shared_references(names: str, lists: Sequence[NBest], later_lists: Sequence[NBest]) -> list[Finding]:
    """Finds lists of the later set whose reference is in the earlier set: a model could correct them from memory."""
    known = {casefolded(nbest.reference or "") for nbest in lists} - {""}
    ids = {nbest.id for nbest in lists}
    shared = [n for n in later_lists if n.id not in ids and casefolded(n.reference or "") in known]
    long = [nbest for nbest in shared if len((nbest.reference or "").split()) >= _LONG_REFERENCE_WORDS]
    short = [nbest for nbest in shared if len((nbest.reference or "").split()) < _LONG_REFERENCE_WORDS]
    what, total = "references in both", len(later_lists)
    long_what = f"{what}, {_LONG_REFERENCE_WORDS} words or longer"
    short_advice = "none needed: short turns repeat; the report gives test's figures without them too"
    long_advice = "check that no recording is in both sets: long references seldom repeat by chance"
    return [
        *findings_about(short, Severity.NOTE, names, what, total, short_advice),
        *findings_about(long, Severity.WARNING, names, long_what, total, long_advice),
    ]
