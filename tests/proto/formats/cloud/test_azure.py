"""lorb.formats.cloud.azure: detailed results of Azure Speech."""

import math
from functools import partial

from lorb.formats.cloud.azure import read_azure
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_azure)


def test_the_lexical_form_is_read_and_descending_confidences_are_scores():
    """Texts are the lexical form, scores are ln(confidence), and the other forms stay in the record."""
    records, notices = read(FOLDER / "azure/5338-284437-0002.json")
    assert hypotheses(records) == {
        "5338-284437-0002": [
            ("what that little cabin", math.log(0.9751314)),
            ("what's that little cabin", math.log(0.9354952)),
            ("whats that little cabin", math.log(0.93267226)),
        ]
    }
    assert records[0].fields["hyps"][0]["Display"] == "What that little cabin?"
    assert notices == [
        "1 lists with ln(confidence) as scores",
        "1 lists in the lexical form, without case and punctuation",
    ]


def test_confidences_that_contradict_the_order_are_no_scores():
    """A list whose confidences increase has no scores and keeps the order of the service."""
    records, notices = read(FOLDER / "azure/batch.wav.json")
    first, second = records
    assert [record.nbest.id for record in records] == ["batch.wav-1", "batch.wav-2"]
    assert [h.transcript for h in first.nbest.hypotheses][:2] == [
        "exclaimed trot of course",
        "exclaimed trout of course",
    ]
    assert (first.nbest.has_scores, second.nbest.has_scores) == (False, True)
    assert "1 lists without scores: confidences increase down the list" in notices


def test_numbers_may_be_text_and_silence_is_left_out(tmp_path):
    """Confidences written as text are read, and results without NBest are left out and counted."""
    path = tmp_path / "u.jsonl"
    path.write_text(
        '{"RecognitionStatus": "NoMatch", "Offset": 1}\n'
        '{"RecognitionStatus": "Success", "NBest": [{"Confidence": "0.5", "Lexical": "yes"}]}\n'
    )
    records, notices = read(path)
    assert hypotheses(records) == {"u": [("yes", math.log(0.5))]}
    assert notices[0].startswith("1 results left out, because they have no NBest: ")


def test_errors_name_the_line(tmp_path):
    """A confidence that is no number and a result that is no object are refused with their line."""
    path = tmp_path / "u.json"
    path.write_text('\n{"NBest": [{"Confidence": "high", "Lexical": "yes"}]}')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert "the confidence of an alternative is not a number" in error.message
    path.write_text('{"recognizedPhrases": [\n7]}')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert "a result is not an object" in error.message
