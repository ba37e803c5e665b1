"""lorb_client.rescore.output: the input record plus scores and provenance."""

import copy

from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis
from lorb_client.rescore.output import rescored_fields
from support.servers.rescoring_server import ADAPTER

RECORD = {
    "id": "u1",
    "ref": "b",
    "speaker": {"age": 7},
    "hyps": [{"text": "a", "score": -1.0, "words": [1]}, {"text": "b", "score": -2.0, "note": None}],
}
ADAPTER_FIELDS = {"domain": ADAPTER.domain, "version": ADAPTER.version, "digest": ADAPTER.digest}


def test_every_field_is_kept_and_scores_are_added():
    """The record keeps its fields in the new order and gains scores, outcome and adapter."""
    best, other = RankedHypothesis(1, "b", -1.5, 0.5, 0.75), RankedHypothesis(0, "a", -2.5, -1.5, 0.25)
    before = copy.deepcopy(RECORD)
    assert rescored_fields(RECORD, Ranked((best, other), Outcome.RESCORED, adapter=ADAPTER)) == {
        "id": "u1",
        "ref": "b",
        "speaker": {"age": 7},
        "hyps": [
            {"text": "b", "score": -2.0, "note": None}
            | {"rescoring_score": 0.5, "combined_score": -1.5, "posterior": 0.75},
            {"text": "a", "score": -1.0, "words": [1]}
            | {"rescoring_score": -1.5, "combined_score": -2.5, "posterior": 0.25},
        ],
        "lorb": {
            "outcome": "rescored",
            "fallback_reason": None,
            "adapter": ADAPTER_FIELDS,
            "num_truncated": 0,
        },
    }
    assert before == RECORD


def test_hypotheses_that_were_not_rescored_carry_no_new_scores():
    """A list that was not rescored has no new scores, also if an earlier run wrote some."""
    stale = {"rescoring_score": 9.0, "combined_score": 9.0, "posterior": 9.0}
    record = RECORD | {
        "hyps": [hypothesis | stale for hypothesis in RECORD["hyps"]],
        "lorb": {"outcome": "rescored"},
    }
    ranked = Ranked(
        (RankedHypothesis(0, "a"), RankedHypothesis(1, "b")),
        Outcome.FIRST_PASS,
        "",
        FallbackReason.QUEUE_FULL,
    )
    fields = rescored_fields(record, ranked)
    assert fields["hyps"] == RECORD["hyps"]
    expected = {"outcome": "first_pass", "fallback_reason": "queue_full", "adapter": None, "num_truncated": 0}
    assert fields["lorb"] == expected


def test_zero_is_a_score():
    """A score of 0 is written."""
    fields = rescored_fields(RECORD, Ranked((RankedHypothesis(0, "a", 0.0, 0.0, 0.0),), Outcome.RESCORED))
    assert fields["hyps"] == [RECORD["hyps"][0] | {"rescoring_score": 0.0, "combined_score": 0.0, "posterior": 0.0}]


def test_truncated_texts_are_counted():
    """The number of truncated texts is written."""
    hypotheses = (RankedHypothesis(0, "a", truncated=True), RankedHypothesis(1, "b"))
    assert rescored_fields(RECORD, Ranked(hypotheses, Outcome.PARTIAL))["lorb"]["num_truncated"] == 1
