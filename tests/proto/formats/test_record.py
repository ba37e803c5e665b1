"""lorb.formats.record: valid records become lists, invalid ones name the field."""

from pathlib import Path

import pytest

from lorb.errors import MalformedFile
from lorb.formats.record import ListRecord
from lorb.nbest import Hypothesis, NBest

PATH = Path("lists.jsonl")
HYPS = [{"text": "a", "score": -1.5, "component_scores": {"lm": -1}}, {"text": "", "score": -2}]


def refusal(fields):
    """Returns the error message for a record, without file and line."""
    with pytest.raises(MalformedFile) as caught:
        ListRecord.of(fields, PATH, 7)
    place = "lists.jsonl:7: "
    assert caught.value.message.startswith(place)
    return caught.value.message.removeprefix(place)


def test_a_full_record_becomes_a_list_and_keeps_every_field():
    """Known fields are read into the list, and all fields stay in the record."""
    fields = {"id": "u1", "ref": "a b", "domain": "d", "context": "c", "hyps": HYPS, "speaker": {"age": 7}}
    record = ListRecord.of(fields, PATH, 7)
    hypotheses = (Hypothesis("a", -1.5, {"lm": -1.0}), Hypothesis("", -2.0))
    assert record.nbest == NBest(hypotheses, "u1", "c", "a b", "d")
    assert record.fields == fields


def test_absent_and_null_fields_are_the_same():
    """A field that is null counts as absent."""
    short = ListRecord.of({"id": "u1", "hyps": [{"text": "a"}]}, PATH, 1)
    nulls = {"ref": None, "domain": None, "context": None}
    hyps = [{"text": "a", "score": None, "component_scores": None}]
    assert ListRecord.of({"id": "u1", **nulls, "hyps": hyps}, PATH, 1).nbest == short.nbest


def test_an_empty_reference_is_a_reference():
    """An empty reference, of silence, is kept."""
    assert ListRecord.of({"id": "u", "ref": "", "hyps": HYPS}, PATH, 1).nbest.reference == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": None}, '"id" is missing'),
        ({"id": ""}, '"id" is missing'),
        ({"id": 7}, '"id" is not text'),
        ({"id": "a\nb"}, '"id" holds the control character U+000A'),
        ({"id": "x" * 257}, '"id" has 257 characters'),
        ({"ref": ["a"]}, '"ref" is not text'),
        ({"context": 1}, '"context" is not text'),
        ({"context": "\ud800"}, '"context" holds a lone surrogate'),
        ({"hyps": None}, '"hyps" is missing'),
        ({"hyps": {}}, '"hyps" is not an array'),
        ({"hyps": []}, '"hyps" is empty'),
        ({"hyps": ["a"]}, "hyps[0] is not an object"),
        ({"hyps": [{"text": "a"}, {"score": -1}]}, 'hyps[1]."text" is missing'),
        ({"hyps": [{"text": 5}]}, 'hyps[0]."text" is not text'),
        ({"hyps": [{"text": "a", "score": "-1"}]}, 'hyps[0]."score" is not a number'),
        ({"hyps": [{"text": "a", "score": True}]}, 'hyps[0]."score" is not a number'),
        ({"hyps": [{"text": "a", "score": float("inf")}]}, "hyps[0].first_pass_score is inf"),
        ({"hyps": [{"text": "a", "score": 10**400}]}, 'hyps[0]."score" is too large'),
        ({"hyps": [{"text": "a", "score": -1}, {"text": "b"}]}, "hypotheses[1].first_pass_score is missing"),
        (
            {"hyps": [{"text": "a", "component_scores": {"lm": "x"}}]},
            "hyps[0].\"component_scores\" 'lm' is not",
        ),
    ],
)
def test_a_wrong_field_is_named(changes, words):
    """A wrong field gives a message that names the field and the problem."""
    assert refusal({"id": "u1", "hyps": HYPS} | changes).startswith(words)


def test_a_record_is_an_object():
    """A record that is not an object is refused."""
    assert refusal(["a", "b"]) == "the record is not an object"
