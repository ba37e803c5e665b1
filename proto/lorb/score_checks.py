"""Checks first-pass scores of many lists: natural logs, best first, on all lists, and on one scale."""

from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import median

from lorb.finding import Finding, Sets, Severity, findings_about
from lorb.nbest import NBest

# Scores count as costs if the first hypothesis has its list's lowest score in at least this share of the lists whose
# scores differ, and in at least MIN_CHECKED_LISTS lists.
_COST_SHARE = 0.9
MIN_CHECKED_LISTS = 10
# If a larger share of the lists does not start with the best score, the recogniser did not sort by these scores.
_UNSORTED_SHARE = 0.1
_MAX_SPREAD_RATIO = 3.0
# In nats. Real gaps are smaller: utterances have hundreds of words at most, and a wrong word costs about ten nats.
IMPOSSIBLE_GAP = 1e4
NOT_BEST_FIRST = "first hypothesis has not the best score"
NO_SCORES = "lists without scores"


def score_findings(sets: Sets, files: Mapping[str, Sets] | None = None) -> list[Finding]:
    """Finds missing scores, impossible gaps, wrong signs, probabilities, wrong orders and different scales.

    files: the lists of each set by file, for sets that several files make. Files of MIN_CHECKED_LISTS lists with scores
    or more are checked for signs, probabilities and scales on their own too: one file of costs among good ones is
    found. A finding about one file has the file's name in place of the set's.
    """
    findings = _missing(sets) + _impossible_gaps(sets)
    plausible: dict[str, Sequence[NBest]] = {}
    plausible_files: list[Sets] = []
    for name, lists in sets.items():
        set_findings = _wrong_scores(name, _scored(lists))
        findings += set_findings
        if set_findings:  # lists with a wrong sign or logarithm have another order and spread anyway
            continue
        by_file = {file: _scored(of_file) for file, of_file in (files or {}).get(name, {}).items()}
        large = {file: scored for file, scored in by_file.items() if len(scored) >= MIN_CHECKED_LISTS}
        wrong = {file: found for file, scored in large.items() if (found := _wrong_scores(file, scored))}
        findings += chain.from_iterable(wrong.values())
        right = chain.from_iterable(scored for file, scored in by_file.items() if file not in wrong)
        plausible[name] = list(right) if wrong else _scored(lists)
        plausible_files.append({file: scored for file, scored in large.items() if file not in wrong})
        findings += _wrong_order(name, plausible[name])
    return findings + list(chain.from_iterable(map(scale_findings, [plausible, *plausible_files])))


def scale_findings(sets: Sets) -> list[Finding]:
    """Finds sets whose score spread is far from the first set's with differing scores."""
    findings: list[Finding] = []
    spreads = {name: spread for name, lists in sets.items() if (spread := score_spread(lists)) > 0}
    for name in list(spreads)[1:]:
        first = next(iter(spreads))
        if max(spreads[name], spreads[first]) > _MAX_SPREAD_RATIO * min(spreads[name], spreads[first]):
            what = f"score spread {spreads[name]:.3g} in {name}, {spreads[first]:.3g} in {first}"
            advice = "check that one recogniser with one scale made both: a weight fits one scale"
            lists, names = sets[name], f"{first} and {name}"
            findings += findings_about(lists, Severity.WARNING, names, what, len(lists), advice)
    return findings


def scores_of(nbest: NBest) -> list[float]:
    """Returns the first-pass scores of the list's hypotheses, in order; empty if the list has no scores."""
    return [h.first_pass_score for h in nbest.hypotheses if h.first_pass_score is not None]


def score_spread(lists: Sequence[NBest]) -> float:
    """Returns the median distance of hypotheses from their list's best score, natural log; 0 without distances."""
    behind_best = [max(scores) - score for scores in map(scores_of, lists) for score in sorted(scores)[:-1]]
    return median(behind_best) if behind_best else 0.0


def _missing(sets: Sets) -> list[Finding]:
    unscored = {name: [nbest for nbest in lists if not nbest.has_scores] for name, lists in sets.items()}
    is_everywhere = all(len(unscored[name]) == len(lists) for name, lists in sets.items())
    severity = Severity.NOTE if is_everywhere else Severity.WARNING
    advice = (
        "none needed: the rank replaces the score"
        if is_everywhere
        else "score all lists or none: lists without scores are ranked with their own weight"
    )
    return [
        finding
        for name, lists in sets.items()
        for finding in findings_about(unscored[name], severity, name, NO_SCORES, len(lists), advice)
    ]


def _impossible_gaps(sets: Sets) -> list[Finding]:
    findings = []
    for name, lists in sets.items():
        affected = [n for n in lists if n.has_scores and max(scores_of(n)) - min(scores_of(n)) > IMPOSSIBLE_GAP]
        advice = "leave such hypotheses out: the decoder marked them, and the score is not a logarithm"
        what = f"scores {IMPOSSIBLE_GAP:,.0f} or more below the best"
        findings += findings_about(affected, Severity.NOTE, name, what, len(lists), advice)
    return findings


def _scored(lists: Sequence[NBest]) -> Sequence[NBest]:
    return [nbest for nbest in lists if nbest.has_scores]


def _differing(lists: Sequence[NBest]) -> Sequence[NBest]:
    return [nbest for nbest in lists if len(set(scores_of(nbest))) > 1]


def _wrong_scores(name: str, lists: Sequence[NBest]) -> list[Finding]:
    """Finds lists with scores whose sign or logarithm is wrong; returns the most severe finding."""
    scores = [score for nbest in lists for score in scores_of(nbest)]
    differing = _differing(lists)
    total = len(lists)
    rising = [nbest for nbest in differing if scores_of(nbest)[0] == min(scores_of(nbest))]
    if len(rising) >= max(MIN_CHECKED_LISTS, _COST_SHARE * len(differing)):
        advice = "they look like costs: send their negatives, because a higher score must be better"
        return findings_about(rising, Severity.ERROR, name, "scores rise from best to worst", total, advice)
    if scores and min(scores) >= 0 and 0 < max(scores) <= 1:
        advice = "give their natural logarithm: the weight is tuned for sums of logarithms"
        return findings_about(lists, Severity.WARNING, name, "scores from 0 to 1, like probabilities", total, advice)
    if scores and min(scores) > 0:
        advice = "check sign and logarithm: log probabilities are below 0"
        return findings_about(lists, Severity.WARNING, name, "only positive scores", total, advice)
    return []


def _wrong_order(name: str, lists: Sequence[NBest]) -> list[Finding]:
    unsorted = [nbest for nbest in _differing(lists) if scores_of(nbest)[0] < max(scores_of(nbest))]
    severity = Severity.WARNING if len(unsorted) > _UNSORTED_SHARE * len(lists) else Severity.NOTE
    advice = "check that these scores made the recogniser's order: the highest score counts as its choice"
    return findings_about(unsorted, severity, name, NOT_BEST_FIRST, len(lists), advice)
