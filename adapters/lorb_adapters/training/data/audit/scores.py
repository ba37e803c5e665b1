"""First-pass scores that are not what they should be: natural log, higher is better, best first, on one scale."""

from collections.abc import Sequence
from statistics import median

from lorb.nbest import NBest
from lorb_adapters.training.data.audit.finding import Finding, Sets, Severity, found

# So large a part of the lists, and so many, make a rule of it.
_MOST = 0.9
_ENOUGH_LISTS = 10
# Above this share, lists whose first hypothesis is not their best are no accident.
_MANY = 0.1
_FAR = 3.0
# Utterances have hundreds of words at most, and a wrong word costs some ten.
IMPOSSIBLE_GAP = 1e4


def score_suspicions(sets: Sets) -> list[Finding]:
    """Signs, logarithms, orders, spreads and gaps, set by set."""
    findings = _missing(sets) + _impossible(sets)
    sound: dict[str, Sequence[NBest]] = {}
    for name, lists in sets.items():
        scored = [nbest for nbest in lists if nbest.has_scores]
        suspicions = _suspicions(name, scored)
        findings += suspicions
        if scored and not suspicions:  # else its spread says the same once more
            sound[name] = scored
    return findings + _spreads(sound)


def scores_of(nbest: NBest) -> list[float]:
    """The list's first-pass scores in its order; empty without."""
    return [h.first_pass_score for h in nbest.hypotheses if h.first_pass_score is not None]


def spread(lists: Sequence[NBest]) -> float:
    """How far the other hypotheses stand behind their list's best, the median, natural log; 0 without others."""
    behind = [max(scores) - score for scores in map(scores_of, lists) for score in sorted(scores)[:-1]]
    return median(behind) if behind else 0.0


def _missing(sets: Sets) -> list[Finding]:
    without = {name: [nbest for nbest in lists if not nbest.has_scores] for name, lists in sets.items()}
    is_everywhere = all(len(without[name]) == len(lists) for name, lists in sets.items())
    severity = Severity.NOTE if is_everywhere else Severity.WARNING
    advice = (
        "nothing: the rank stands in for the score"
        if is_everywhere
        else "score all lists or none: lists without scores are ranked by weights of their own"
    )
    return [
        finding
        for name, lists in sets.items()
        for finding in found(severity, name, "lists without scores", without[name], len(lists), advice)
    ]


def _impossible(sets: Sets) -> list[Finding]:
    findings = []
    for name, lists in sets.items():
        concerned = [n for n in lists if n.has_scores and max(scores_of(n)) - min(scores_of(n)) > IMPOSSIBLE_GAP]
        advice = "leave such hypotheses out: that is a decoder's mark, not a logarithm"
        what = f"scores {IMPOSSIBLE_GAP:,.0f} and more behind the best"
        findings += found(Severity.NOTE, name, what, concerned, len(lists), advice)
    return findings


def _suspicions(name: str, lists: Sequence[NBest]) -> list[Finding]:
    """About one set; `lists` all have scores. The worst alone, for the others follow from it."""
    scores = [score for nbest in lists for score in scores_of(nbest)]
    differing = [nbest for nbest in lists if len(set(scores_of(nbest))) > 1]
    total = len(lists)
    turned = [nbest for nbest in differing if scores_of(nbest)[0] == min(scores_of(nbest))]
    if len(turned) >= max(_ENOUGH_LISTS, _MOST * len(differing)):
        advice = "negate them: they are costs; a score is better the higher it is"
        return found(Severity.ERROR, name, "scores that rise from the best to the worst", turned, total, advice)
    if scores and min(scores) >= 0 and 0 < max(scores) <= 1:
        advice = "give their natural logarithm: the weight is tuned for sums of logs"
        return found(Severity.WARNING, name, "scores from 0 to 1, as probabilities", lists, total, advice)
    if scores and min(scores) > 0:
        advice = "check sign and logarithm: log probabilities are below 0"
        return found(Severity.WARNING, name, "scores that are all positive", lists, total, advice)
    unsorted = [nbest for nbest in differing if scores_of(nbest)[0] < max(scores_of(nbest))]
    severity = Severity.WARNING if len(unsorted) > _MANY * total else Severity.NOTE
    advice = "check that these scores made the recogniser's order: the highest counts as its choice"
    return found(severity, name, "first hypothesis not the best by score", unsorted, total, advice)


def _spreads(sound: Sets) -> list[Finding]:
    """Sets on another scale than the first of them, which is train unless it has no sound scores."""
    findings: list[Finding] = []
    spreads = {name: size for name, lists in sound.items() if (size := spread(lists)) > 0}
    for name in list(spreads)[1:]:
        first = next(iter(spreads))
        if max(spreads[name], spreads[first]) > _FAR * min(spreads[name], spreads[first]):
            what = f"scores {spreads[name]:.3g} apart in {name}, {spreads[first]:.3g} in {first}"
            advice = "check that one recogniser with one scale made both: a weight fits one scale"
            lists = sound[name]
            findings += found(Severity.WARNING, f"{first} and {name}", what, lists, len(lists), advice)
    return findings
