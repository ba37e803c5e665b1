"""The audit: every defect planted on real lists is told, and nothing else is; clean lists are not suspected."""

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
    scored,
    scores_missing_from_some,
)

NOTE, WARNING, ERROR = Severity


@pytest.fixture(scope="module")
def clean(sample):
    """100 real lists of train, of dev and of test each."""
    return clean_sets(sample)


def test_clean_lists_are_not_suspected(clean):
    """Real lists as they are have no row, and stop nothing."""
    audit = Audit.of(clean)
    assert audit.findings == ()
    audit.check()
    assert audit.to_markdown().endswith("Nothing suspicious was found.")


@pytest.mark.parametrize("plant", DEFECTS)
def test_a_planted_defect_is_the_one_row(clean, plant):
    """Severity, sets, words, counts and an example are those of the defect; no other row comes with it."""
    sets = {name: list(lists) for name, lists in clean.items()}
    severity, where, what, count, total, example = plant(sets)
    [row] = Audit.of(sets).findings
    assert (row.severity, row.sets, row.what, row.count, row.total, row.example) == (
        severity,
        where,
        what,
        count,
        total,
        example,
    )
    assert row.advice


def test_lists_without_any_scores_are_a_note_for_every_set(clean):
    """No recogniser's score anywhere is how some recognisers are: one note a set."""
    sets = {name: [scored(each, lambda score: None) for each in lists] for name, lists in clean.items()}
    rows = Audit.of(sets).findings
    assert [(row.severity, row.sets, row.what) for row in rows] == [
        (NOTE, name, "lists without scores") for name in sets
    ]


def test_the_worst_comes_first_and_stops_the_run(clean):
    """Several defects at once: an error stands before a warning before a note, and check names it with its advice."""
    sets = {name: list(lists) for name, lists in clean.items()}
    for plant in (one_hypothesis, scores_missing_from_some, dev_ids_in_test):
        plant(sets)
    audit = Audit.of(sets)
    assert [row.severity for row in audit.findings] == [ERROR, WARNING, NOTE]
    with pytest.raises(InvalidInput, match=r"dev and test: ids in both: 1 of 100, .* must not contain lists tuned on"):
        audit.check()


def test_the_facts_are_those_of_the_lists(clean):
    """Counts and rates, and the same in both forms: the JSON's are the Markdown's."""
    audit = Audit.of(clean)
    facts = audit.facts["dev"]
    held = sum(each.reference in {h.transcript for h in each.hypotheses} for each in clean["dev"])
    assert facts.with_reference_percent == held
    assert facts.words == sum(len(each.reference.split()) for each in clean["dev"])
    figures = json.loads(msgspec.json.encode(audit))["sets"]["dev"]
    assert figures["oracle_wer"] < figures["first_pass_wer"]
    row = next(line for line in audit.to_markdown().splitlines() if line.startswith("| dev"))
    assert f"{figures['first_pass_wer']:.2f}" in row
    assert f"{figures['oracle_wer']:.2f}" in row


def test_an_id_cannot_break_the_table(clean):
    """A column sign in an id is written so that Markdown does not take it for one."""
    sets = {name: list(lists) for name, lists in clean.items()}
    sets["train"][6] = replace(sets["train"][6], id="a|b", hypotheses=sets["train"][6].hypotheses[:1])
    assert "a\\|b" in Audit.of(sets).to_markdown()
