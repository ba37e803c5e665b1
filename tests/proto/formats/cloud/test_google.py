"""lorb.formats.cloud.google: Google Speech-to-Text's responses."""

import json
from functools import partial

import pytest

from lorb.formats.cloud.google import read_google
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

RESPONSE = FOLDER / "google/5338-284437-0003.json"


read = partial(read_with, read_google)


def test_a_confidence_of_the_first_alone_is_no_score():
    """Lists are scored wholly or not at all; the confidence stays beside its text, the leading blank goes."""
    records, notices = read(RESPONSE)
    assert hypotheses(records) == {
        "5338-284437-0003-1": [
            ("exclaimed trot of course", None),
            ("exclaimed trout of course", None),
            ("exclaimed trort of course", None),
        ],
        "5338-284437-0003-2": [("what that little cabin", None), ("what's that little cabin", None)],
    }
    assert records[0].fields["hyps"][0]["confidence"] == 0.9840146
    assert records[0].fields["resultEndTime"] == "1.770s"
    assert notices[0] == "2 lists without scores: the service rates some alternatives only"


def test_a_finished_operation_holds_the_response(tmp_path):
    """As speech:longrunningrecognize ends."""
    operation = {"name": "7", "done": True, "response": json.loads(RESPONSE.read_text())}
    path = tmp_path / RESPONSE.name
    path.write_text(json.dumps(operation))
    assert hypotheses(read(path)[0]) == hypotheses(read(RESPONSE)[0])


def test_results_without_alternatives_are_left_out_and_counted(tmp_path):
    """Silence gives {}; what is left alone in its file has the file's name."""
    path = tmp_path / "call.json"
    path.write_text('{"results": [{}, {"alternatives": [{"transcript": "yes"}]}]}')
    records, notices = read(path)
    assert hypotheses(records) == {"call": [("yes", None)]}
    assert notices[0] == "1 results without alternatives, left out"


@pytest.mark.parametrize("empty", [{"confidence": 0.4}, {"words": [{"word": "yes"}]}])
def test_an_empty_transcript_may_be_left_out(tmp_path, empty):
    """As proto3's JSON does; an alternative with any other key is not what it seems and is refused."""
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"results": [{"alternatives": [{"transcript": "yes"}, empty]}]}))
    assert hypotheses(read(path)[0]) == {"call": [("yes", None), ("", None)]}
    path.write_text(json.dumps({"results": [{"alternatives": [{"transcript": "yes"}, {**empty, "text": "no"}]}]}))
    assert '"transcript" of an alternative is not text' in refusal(lambda: read(path)).message


def test_responses_may_follow_each_other(tmp_path):
    """JSON lines, or an array; an error names the line."""
    line = '{"results": [{"alternatives": [{"transcript": "yes"}]}]}'
    path = tmp_path / "calls.json"
    for text in (f"{line}\n{line}\n", f"[{line},\n{line}]"):
        path.write_text(text)
        assert list(hypotheses(read(path)[0])) == ["calls-1", "calls-2"]
    path.write_text(f"{line}\n" + '{"results": [{"alternatives": [{}]}]}\n')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert '"transcript" of an alternative is not text' in error.message
