"""Lists that stand twice: in one set, or in two that must not share any."""

from collections import Counter
from collections.abc import Sequence

from lorb.nbest import NBest
from lorb_adapters.training.data.audit.finding import Finding, Sets, Severity, folded, found

# Of references with so many words two are seldom alike by chance; short turns of a dialogue often are.
_LONG_REFERENCE_WORDS = 8
_EXCLUSIVE = ("train", "dev", "test")


def ids_twice(sets: Sets) -> list[Finding]:
    """Ids that come again within a set."""
    findings = []
    for name, lists in sets.items():
        counts = Counter(nbest.id for nbest in lists)
        first = {nbest.id: nbest for nbest in reversed(lists)}
        repeated = [first[utterance] for utterance, count in counts.items() if count > 1]
        advice = "give every list an id of its own, or each list once"
        findings += found(Severity.ERROR, name, "ids that come twice", repeated, len(lists), advice)
    return findings


def overlaps(sets: Sets) -> list[Finding]:
    """What train, dev and test share: ids, and references under different ids."""
    exclusive = [(name, sets[name]) for name in _EXCLUSIVE if name in sets]
    pairs = [(one, other) for i, one in enumerate(exclusive) for other in exclusive[i + 1 :]]
    findings = []
    for (name, lists), (later_name, later_lists) in pairs:
        names = f"{name} and {later_name}"
        ids = {nbest.id for nbest in later_lists}
        shared = [nbest for nbest in lists if nbest.id in ids]
        findings += _shared_ids(names, shared, len(lists))
        alone = [nbest for nbest in lists if nbest.id not in ids]
        findings += _shared_references(names, alone, later_lists)
    return findings


def _shared_ids(names: str, shared: Sequence[NBest], num_lists: int) -> list[Finding]:
    what = "ids in both"
    if names == "dev and test":
        advice = "cut them apart: a figure on lists that were tuned on proves nothing"
        return found(Severity.ERROR, names, what, shared, num_lists, advice)
    if len(shared) == num_lists:
        return found(Severity.ERROR, names, what, shared, num_lists, "give other train lists: none is left to train on")
    return found(Severity.WARNING, names, what, shared, num_lists, "nothing: train gives them up; check how it was cut")


def _shared_references(names: str, lists: Sequence[NBest], later_lists: Sequence[NBest]) -> list[Finding]:
    """Counted in the later set: the share of its lists that a table of the other's references would correct."""
    known = {folded(nbest.reference or "") for nbest in lists} - {""}
    own_ids = {nbest.id for nbest in lists}
    shared = [n for n in later_lists if n.id not in own_ids and folded(n.reference or "") in known]
    long = [nbest for nbest in shared if len((nbest.reference or "").split()) >= _LONG_REFERENCE_WORDS]
    short = [nbest for nbest in shared if len((nbest.reference or "").split()) < _LONG_REFERENCE_WORDS]
    what, total = "references in both", len(later_lists)
    repeated = "nothing: short turns repeat; the report gives test's figure without them too"
    copied = "check that no recording is in both: long ones seldom repeat by chance"
    return [
        *found(Severity.NOTE, names, what, short, total, repeated),
        *found(Severity.WARNING, names, f"{what}, {_LONG_REFERENCE_WORDS} words or longer", long, total, copied),
    ]
