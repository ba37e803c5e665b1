"""References and hypotheses that do not go together."""

from collections import Counter
from collections.abc import Sequence

from lorb.nbest import NBest
from lorb.word_errors import WordErrorRate, oracle_errors, word_errors
from lorb_adapters.training.data.audit.finding import Finding, Sets, Severity, folded, found

# Ten-best lists of good recognisers hold half of the references; hardly any is suspicious.
_NEARLY_ALL = 0.9
_MANY = 0.05


def text_suspicions(sets: Sets) -> list[Finding]:
    """Absent and empty references, case, and lists with nothing to choose from, set by set."""
    findings: list[Finding] = []
    for name, lists in sets.items():
        findings += _without_reference(name, lists)
        findings += _empty_references(name, lists)
        findings += _case_of_references(name, lists)
        findings += _lone_hypotheses(name, lists)
    return findings + _case_between_sets(sets)


def holds_reference(nbest: NBest) -> bool:
    """Whether the reference is among the hypotheses, case aside."""
    return folded(nbest.reference or "") in {folded(h.transcript) for h in nbest.hypotheses}


def first_pass_rate(lists: Sequence[NBest]) -> WordErrorRate:
    """Of the recogniser's choices."""
    return sum((WordErrorRate.of(n.reference or "", n.distinct()[0].transcript) for n in lists), WordErrorRate())


def oracle_rate(lists: Sequence[NBest]) -> WordErrorRate:
    """What perfect re-ranking would leave."""
    rates = (
        WordErrorRate.counted(n.reference or "", oracle_errors(n.reference or "", [h.transcript for h in n.hypotheses]))
        for n in lists
    )
    return sum(rates, WordErrorRate())


def _without_reference(name: str, lists: Sequence[NBest]) -> list[Finding]:
    lacking = [nbest for nbest in lists if (nbest.reference or "").split() and not holds_reference(nbest)]
    if len(lacking) < _NEARLY_ALL * len(lists):
        return []
    what = f"reference not among the hypotheses (oracle WER {oracle_rate(lists).percent:.1f})"
    advice = (
        "check that references are written as hypotheses are and belong to these lists; --references learns from them"
    )
    return found(Severity.WARNING, name, what, lacking, len(lists), advice)


def _empty_references(name: str, lists: Sequence[NBest]) -> list[Finding]:
    empty = [nbest for nbest in lists if not (nbest.reference or "").split()]
    if len(empty) == len(lists):
        return found(Severity.ERROR, name, "empty references", empty, len(lists), "give what was said in them")
    advice = "leave them out unless nothing was said: all that was recognised counts as errors"
    return found(Severity.WARNING, name, "empty references", empty, len(lists), advice)


def _case_of_references(name: str, lists: Sequence[NBest]) -> list[Finding]:
    def has_errors_of_case(nbest: NBest) -> bool:
        reference, best = nbest.reference or "", nbest.distinct()[0].transcript
        return word_errors(folded(reference), folded(best)) < word_errors(reference, best)

    wrong = [nbest for nbest in lists if has_errors_of_case(nbest)]
    severity = Severity.WARNING if len(wrong) > _MANY * len(lists) else Severity.NOTE
    what, advice = "errors of case alone", "write references in the recogniser's case: word errors count it"
    return found(severity, name, what, wrong, len(lists), advice)


def _case_between_sets(sets: Sets) -> list[Finding]:
    """Sets most of whose hypotheses are written in another case than most of the first set's."""
    findings: list[Finding] = []
    usual: dict[str, str] = {}
    for name, lists in sets.items():
        cases = [case for nbest in lists if (case := _case(nbest))]
        if not cases:
            continue
        usual[name] = Counter(cases).most_common(1)[0][0]
        first = next(iter(usual))
        if usual[name] != usual[first]:
            others = [nbest for nbest in lists if _case(nbest) not in ("", usual[first])]
            what = f"hypotheses in {usual[name]} case, in {first} in {usual[first]} case"
            advice = "write all as the recogniser will when it is served; --keep-case would see the difference"
            findings += found(Severity.WARNING, f"{first} and {name}", what, others, len(lists), advice)
    return findings


def _case(nbest: NBest) -> str:
    """Of the first hypothesis; empty where its script has none."""
    text = nbest.hypotheses[0].transcript
    return "lower" if text.islower() else "upper" if text.isupper() else "mixed" if text.lower() != text.upper() else ""


def _lone_hypotheses(name: str, lists: Sequence[NBest]) -> list[Finding]:
    lone = [nbest for nbest in lists if len(nbest.distinct()) == 1]
    severity = Severity.WARNING if 2 * len(lone) > len(lists) else Severity.NOTE
    advice = "ask the recogniser for more hypotheses: there is nothing to choose from"
    return found(severity, name, "lists of one hypothesis", lone, len(lists), advice)
