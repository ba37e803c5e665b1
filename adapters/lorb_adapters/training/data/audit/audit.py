"""The audit of a run's lists: what each set is like, and what is suspicious about it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from lorb.errors import InvalidInput
from lorb.nbest import NBest
from lorb_adapters.json_fields import JsonFields
from lorb_adapters.training.data.audit.finding import Finding, Sets, Severity
from lorb_adapters.training.data.audit.identity import ids_twice, overlaps
from lorb_adapters.training.data.audit.scores import score_suspicions, spread
from lorb_adapters.training.data.audit.texts import first_pass_rate, holds_reference, oracle_rate, text_suspicions
from lorb_adapters.training.report.tables import aligned_table

NOTHING_FOUND = "Nothing suspicious was found."
_SHOWN_ID_CHARS = 40


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What a set is like.

    Attributes:
        lists, words: counts; words of references.
        hypotheses: distinct ones in a list, on average.
        first_pass_wer, oracle_wer: per cent, pooled.
        with_reference_percent: lists with the reference among their hypotheses, case aside.
        score_spread: how far hypotheses stand behind their list's best, the median, natural log; None without scores.
    """

    lists: int
    words: int
    hypotheses: float
    first_pass_wer: float
    oracle_wer: float
    with_reference_percent: float
    score_spread: float | None

    @classmethod
    def of(cls, lists: Sequence[NBest]) -> "SetFacts":
        """Counts them; `lists` is not empty."""
        rate = first_pass_rate(lists)
        scored = [nbest for nbest in lists if nbest.has_scores]
        return cls(
            lists=len(lists),
            words=rate.words,
            hypotheses=fmean(len(nbest.distinct()) for nbest in lists),
            first_pass_wer=rate.percent,
            oracle_wer=oracle_rate(lists).percent,
            with_reference_percent=100 * fmean(map(holds_reference, lists)),
            score_spread=spread(scored) if scored else None,
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """What is known of a run's lists before it.

    Attributes:
        facts: by set.
        findings: the worst first.
    """

    facts: dict[str, SetFacts]
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, sets: Sets) -> "Audit":
        """Audits sets by name ("train", "dev", ...), train first, none empty, every list with its reference."""
        findings = [*ids_twice(sets), *overlaps(sets), *score_suspicions(sets), *text_suspicions(sets)]
        worst_first = sorted(findings, key=lambda each: list(Severity).index(each.severity), reverse=True)
        return cls({name: SetFacts.of(lists) for name, lists in sets.items()}, tuple(worst_first))

    @property
    def errors(self) -> list[Finding]:
        """What training would be meaningless with."""
        return [each for each in self.findings if each.severity is Severity.ERROR]

    def check(self) -> None:
        """Raises InvalidInput with the first error, if there is one."""
        for each in self.errors:
            raise InvalidInput(each.message, field=each.sets)

    @classmethod
    def from_fields(cls, fields: JsonFields) -> "Audit":
        """Reads what `to_json` wrote; raises what `fields` do."""
        facts = {name: _facts(each) for name, each in fields.field_map("sets").items()}
        return cls(facts, tuple(map(_finding, fields.field_list("findings"))))

    def to_json(self) -> dict[str, object]:
        """All figures and rows."""
        return {
            "sets": {name: asdict(facts) for name, facts in self.facts.items()},
            "findings": [asdict(each) for each in self.findings],
        }

    def to_markdown(self) -> str:
        """Two tables, aligned to be read on a terminal too."""
        facts = aligned_table(FACT_COLUMNS, self.fact_rows())
        findings = aligned_table(FINDING_COLUMNS, self.finding_rows()) if self.findings else NOTHING_FOUND
        return f"{facts}\n\n{findings}"

    def fact_rows(self) -> list[tuple[str, ...]]:
        """For a table under FACT_COLUMNS."""
        return [_fact_row(*each) for each in self.facts.items()]

    def finding_rows(self) -> list[tuple[str, ...]]:
        """For a table under FINDING_COLUMNS."""
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
        finding.example[:_SHOWN_ID_CHARS],
        finding.advice,
    )


def _facts(fields: JsonFields) -> SetFacts:
    return SetFacts(
        lists=fields.integer("lists"),
        words=fields.integer("words"),
        hypotheses=fields.number("hypotheses"),
        first_pass_wer=fields.number("first_pass_wer"),
        oracle_wer=fields.number("oracle_wer"),
        with_reference_percent=fields.number("with_reference_percent"),
        score_spread=fields.optional_number("score_spread"),
    )


def _finding(fields: JsonFields) -> Finding:
    severity = fields.text("severity")
    if severity not in set(Severity):
        fields.fail("severity", f"is {severity!r}, not one of {', '.join(Severity)}")
    return Finding(
        Severity(severity),
        fields.text("sets"),
        fields.text("what"),
        fields.integer("count"),
        fields.integer("total"),
        fields.text("example"),
        fields.text("advice"),
    )
