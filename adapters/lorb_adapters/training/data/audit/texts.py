"""Finds references that do not fit the hypotheses, texts written in different case, and lists of one hypothesis."""

from collections import Counter
from collections.abc import Sequence

from lorb.finding import Finding, Sets, Severity, findings_about
from lorb.nbest import NBest
from lorb.word_errors import WordErrorRate, oracle_errors, word_errors

# Half of the ten-best lists of a good recogniser contain the reference; a set with hardly any such list is suspicious.
_MISSING_REFERENCE_SHARE = 0.9
_CASE_ERROR_SHARE = 0.05


def text_findings(sets: Sets) -> list[Finding]:
    """Finds references that are empty or not among the hypotheses, differences in case, and lists of one hypothesis."""
    findings: list[Finding] = []
    for name, lists in sets.items():
        findings += _missing_references(name, lists)
        findings += _empty_references(name, lists)
        findings += _case_errors(name, lists)
        findings += _single_hypotheses(name, lists)
    return findings + _different_case(sets)


def casefolded(text: str) -> str:
    """Returns the text with case and white space normalised, for comparison."""
    return " ".join(text.casefold().split())


def contains_reference(nbest: NBest) -> bool:
    """Whether the reference is among the hypotheses, ignoring case."""
    return casefolded(nbest.reference or "") in {casefolded(h.transcript) for h in nbest.hypotheses}


def first_pass_rate(lists: Sequence[NBest]) -> WordErrorRate:
    """Returns the pooled word error rate of the recogniser's choices."""
    return sum((WordErrorRate.of(n.reference or "", n.first_pass_text) for n in lists), WordErrorRate())


def oracle_rate(lists: Sequence[NBest]) -> WordErrorRate:
    """Returns the pooled word error rate of the best hypothesis of each list."""
    rates = (
        WordErrorRate.from_errors(
            n.reference or "", oracle_errors(n.reference or "", [h.transcript for h in n.hypotheses])
        )
        for n in lists
    )
    return sum(rates, WordErrorRate())


def _missing_references(name: str, lists: Sequence[NBest]) -> list[Finding]:
    missing = [nbest for nbest in lists if (nbest.reference or "").split() and not contains_reference(nbest)]
    if len(missing) < _MISSING_REFERENCE_SHARE * len(lists):
        return []
    what = f"reference not among the hypotheses (oracle WER {oracle_rate(lists).percent:.1f})"
    advice = (
        "check that references belong to these lists and are written like the hypotheses; --references trains on them"
    )
    return findings_about(missing, Severity.WARNING, name, what, len(lists), advice)


def _empty_references(name: str, lists: Sequence[NBest]) -> list[Finding]:
    empty = [nbest for nbest in lists if not (nbest.reference or "").split()]
    if len(empty) == len(lists):
        severity, advice = Severity.ERROR, "give the words that were said"
    else:
        severity, advice = Severity.WARNING, "leave them out unless nothing was said: every recognised word is an error"
    return findings_about(empty, severity, name, "empty references", len(lists), advice)


def _case_errors(name: str, lists: Sequence[NBest]) -> list[Finding]:
    def has_case_errors(nbest: NBest) -> bool:
        reference, best = nbest.reference or "", nbest.first_pass_text
        return word_errors(casefolded(reference), casefolded(best)) < word_errors(reference, best)

    affected = [nbest for nbest in lists if has_case_errors(nbest)]
    severity = Severity.WARNING if len(affected) > _CASE_ERROR_SHARE * len(lists) else Severity.NOTE
    what, advice = "word errors of case only", "write references in the recogniser's case: word errors count it"
    return findings_about(affected, severity, name, what, len(lists), advice)


def _different_case(sets: Sets) -> list[Finding]:
    """Finds sets whose usual case, which is that of most of the set's lists, differs from the first set's."""
    findings: list[Finding] = []
    usual_case: dict[str, str] = {}
    for name, lists in sets.items():
        cases = [case for nbest in lists if (case := _case(nbest))]
        if not cases:
            continue
        usual_case[name] = Counter(cases).most_common(1)[0][0]
        first = next(iter(usual_case))
        if usual_case[name] != usual_case[first]:
            affected = [nbest for nbest in lists if _case(nbest) not in ("", usual_case[first])]
            what = f"hypotheses in {usual_case[name]} case, {first}'s in {usual_case[first]} case"
            advice = "write all as the recogniser will when served; with --keep-case the model sees the difference"
            findings += findings_about(affected, Severity.WARNING, f"{first} and {name}", what, len(lists), advice)
    return findings


def _case(nbest: NBest) -> str:
    """Returns the case of the first pass: "lower", "upper" or "mixed"; empty if its letters have no case."""
    text = nbest.first_pass_text
    return "lower" if text.islower() else "upper" if text.isupper() else "mixed" if text.lower() != text.upper() else ""


def _single_hypotheses(name: str, lists: Sequence[NBest]) -> list[Finding]:
    single = [nbest for nbest in lists if len(nbest.distinct()) == 1]
    severity = Severity.WARNING if 2 * len(single) > len(lists) else Severity.NOTE
    advice = "ask the recogniser for more hypotheses: rescoring has no choice"
    return findings_about(single, severity, name, "lists of one hypothesis", len(lists), advice)
