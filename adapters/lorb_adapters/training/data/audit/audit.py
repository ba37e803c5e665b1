"""The audit of a run's lists: facts about each set, and findings about suspicious lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from msgspec import Struct, field

from lorb.errors import InvalidInput
from lorb.finding import Finding, Sets, Severity
from lorb.nbest import NBest
from lorb.score_checks import score_findings, score_spread
from lorb_adapters.json_files import Count, Finite
from lorb_adapters.training.data.audit.duplicates import duplicate_id_findings, overlap_findings
from lorb_adapters.training.data.audit.table import aligned_table
from lorb_adapters.training.data.audit.texts import contains_reference, first_pass_rate, oracle_rate, text_findings

NOTHING_FOUND = "Nothing suspicious was found."
_MAX_SHOWN_ID_CHARS = 40


@dataclass(frozen=True, slots=True)
class SetFacts:
    """Facts about a set.

    Attributes:
        lists: number of lists.
        words: words in their references.
        hypotheses: mean number of distinct hypotheses per list.
        first_pass_wer, oracle_wer: pooled word error rates of the first pass and the oracle, per cent.
        with_reference_percent: per cent of lists with the reference among their hypotheses, ignoring case.
        score_spread: median distance of hypotheses from their list's best score, natural log; None without scores.
    """

    lists: Count
    words: Count
    hypotheses: Finite
    first_pass_wer: Finite
    oracle_wer: Finite
    with_reference_percent: Finite
    score_spread: Finite | None = None

    @classmethod
    def of(cls, lists: Sequence[NBest]) -> "SetFacts":
        """Computes the facts; `lists` must not be empty."""
        rate = first_pass_rate(lists)
        scored = [nbest for nbest in lists if nbest.has_scores]
        return cls(
            lists=len(lists),
            words=rate.words,
            hypotheses=fmean(len(nbest.distinct()) for nbest in lists),
            first_pass_wer=rate.percent,
            oracle_wer=oracle_rate(lists).percent,
            with_reference_percent=100 * fmean(map(contains_reference, lists)),
            score_spread=score_spread(scored) if scored else None,
        )


class Audit(Struct, frozen=True):
    """Facts and findings about the lists of a run.

    Attributes:
        facts: facts about each set, by set name.
        findings: findings, the most severe first.
    """

    facts: dict[str, SetFacts] = field(name="sets")
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, sets: Sets, files: Mapping[str, Sets] | None = None) -> "Audit":
        """Audits sets by name ("train", "dev", ...), train first. Sets must not be empty; lists need references.

        files: the lists of each set by file, to check the scores of each file too.
        """
        findings = [
            *duplicate_id_findings(sets),
            *overlap_findings(sets),
            *score_findings(sets, files),
            *text_findings(sets),
        ]
        by_severity = sorted(findings, key=lambda each: list(Severity).index(each.severity), reverse=True)
        return cls({name: SetFacts.of(lists) for name, lists in sets.items()}, tuple(by_severity))

    @property
    def errors(self) -> list[Finding]:
        """Findings that make training meaningless."""
        return [each for each in self.findings if each.severity is Severity.ERROR]

    def check(self) -> None:
        """Raises InvalidInput for the first error, if there is one."""
        for each in self.errors:
            raise InvalidInput(each.message, field=each.sets)

    def to_markdown(self) -> str:
        """Returns two Markdown tables, aligned for terminals."""
        facts = aligned_table(FACT_COLUMNS, self.fact_rows())
        findings = aligned_table(FINDING_COLUMNS, self.finding_rows()) if self.findings else NOTHING_FOUND
        return f"{facts}\n\n{findings}"

    def fact_rows(self) -> list[tuple[str, ...]]:
        """Returns the facts as rows of texts under FACT_COLUMNS."""
        return [_fact_row(*each) for each in self.facts.items()]

    def finding_rows(self) -> list[tuple[str, ...]]:
        """Returns the findings as rows of texts under FINDING_COLUMNS."""
        return [_finding_row(each) for each in self.findings]


FACT_COLUMNS = (
    "set", "lists", "words", "hypotheses", "first pass", "oracle", "with reference %", "score spread",
)  # fmt: skip
FINDING_COLUMNS = ("severity", "set", "what", "lists", "example", "what to do")


def _fact_row(name: str, facts: SetFacts) -> tuple[str, ...]:
    return (
        name,
        f"{facts.lists:,}",
        f"{facts.words:,}",
        f"{facts.hypotheses:.1f}",
        f"{facts.first_pass_wer:.2f}",
        f"{facts.oracle_wer:.2f}",
        f"{facts.with_reference_percent:.1f}",
        "none" if facts.score_spread is None else f"{facts.score_spread:.3g}",
    )


def _finding_row(finding: Finding) -> tuple[str, ...]:
    return (
        finding.severity,
        finding.sets,
        finding.what,
        f"{finding.count:,} of {finding.total:,}",
        finding.example[:_MAX_SHOWN_ID_CHARS],
        finding.advice,
    )
