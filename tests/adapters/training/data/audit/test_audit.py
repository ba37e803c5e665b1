"""The audit: it reports each defect planted in real lists, and nothing in clean ones."""

import json
from dataclasses import replace

import msgspec
import pytest

from lorb.errors import InvalidInput
from lorb_adapters.training.data.audit import Audit, Severity
from support.faulty_input.planted_defects import (
    DEFECTS,
    clean_sets,
    dev_ids_in_test,
    one_hypothesis,
    scores_missing_from_some,
    with_scores,
)

NOTE, WARNING, ERROR = Severity


@pytest.fixture(scope="module")
def clean(sample):
    """The first 100 lists of train, dev and test of the sample."""
    return clean_sets(sample)


def test_clean_lists_have_no_findings(clean):
    """Real lists give no finding and no error."""
    audit = Audit.of(clean)
    assert audit.findings == ()
    audit.check()
    assert audit.to_markdown().endswith("Nothing suspicious was found.")


@pytest.mark.parametrize("plant", DEFECTS)
def test_a_planted_defect_is_the_only_finding(clean, plant):
    """The only finding has the severity, sets, text, counts and example of the planted defect, and advice."""
    sets = {name: list(lists) for name, lists in clean.items()}
    severity, set_names, what, count, total, example = plant(sets)
    [finding] = Audit.of(sets).findings
    assert (finding.severity, finding.sets, finding.what, finding.count, finding.total, finding.example) == (
        severity,
        set_names,
        what,
        count,
        total,
        example,
    )
    assert finding.advice


def test_lists_without_any_scores_are_a_note_for_every_set(clean):
    """If no list has scores, each set has one note."""
    sets = {name: [with_scores(each, lambda score: None) for each in lists] for name, lists in clean.items()}
    findings = Audit.of(sets).findings
    assert [(each.severity, each.sets, each.what) for each in findings] == [
        (NOTE, name, "lists without scores") for name in sets
    ]


def test_the_most_severe_finding_comes_first_and_is_raised(clean):
    """Findings are sorted from error to note, and check raises the error with its advice."""
    sets = {name: list(lists) for name, lists in clean.items()}
    for plant in (one_hypothesis, scores_missing_from_some, dev_ids_in_test):
        plant(sets)
    audit = Audit.of(sets)
    assert [each.severity for each in audit.findings] == [ERROR, WARNING, NOTE]
    with pytest.raises(InvalidInput, match=r"dev and test: ids in both: 1 of 100, .* must not contain lists tuned on"):
        audit.check()


def test_facts_describe_the_lists(clean):
    """Counts and rates are those of the lists, and equal in JSON and Markdown."""
    audit = Audit.of(clean)
    facts = audit.facts["dev"]
    num_with_reference = sum(each.reference in {h.transcript for h in each.hypotheses} for each in clean["dev"])
    assert facts.with_reference_percent == num_with_reference
    assert facts.words == sum(len(each.reference.split()) for each in clean["dev"])
    figures = json.loads(msgspec.json.encode(audit))["sets"]["dev"]
    assert figures["oracle_wer"] < figures["first_pass_wer"]
    row = next(line for line in audit.to_markdown().splitlines() if line.startswith("| dev"))
    assert f"{figures['first_pass_wer']:.2f}" in row
    assert f"{figures['oracle_wer']:.2f}" in row


def test_an_id_does_not_break_the_table(clean):
    """A "|" in an id is escaped in Markdown."""
    sets = {name: list(lists) for name, lists in clean.items()}
    sets["train"][6] = replace(sets["train"][6], id="a|b", hypotheses=sets["train"][6].hypotheses[:1])
    assert "a\\|b" in Audit.of(sets).to_markdown()
