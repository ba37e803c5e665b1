"""lorb.formats.cloud.google: responses of Google Speech-to-Text."""

import json
from functools import partial

import pytest

from lorb.formats.cloud.google import read_google
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

RESPONSE = FOLDER / "google/5338-284437-0003.json"


read = partial(read_with, read_google)


def test_a_confidence_of_only_the_first_is_no_score():
    """If only the first alternative has a confidence, the list has no scores, and the field is kept."""
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
    assert notices[0] == "2 lists without scores: some alternatives have no confidence above 0 and up to 1"


def test_a_finished_operation_holds_the_response(tmp_path):
    """A finished operation of speech:longrunningrecognize gives the same lists as its response."""
    operation = {"name": "7", "done": True, "response": json.loads(RESPONSE.read_text())}
    path = tmp_path / RESPONSE.name
    path.write_text(json.dumps(operation))
    assert hypotheses(read(path)[0]) == hypotheses(read(RESPONSE)[0])


def test_results_without_alternatives_are_left_out_and_counted(tmp_path):
    """Empty results are left out and counted; a single list left is named after the file."""
    path = tmp_path / "call.json"
    path.write_text('{"results": [{}, {"alternatives": [{"transcript": "yes"}]}]}')
    records, notices = read(path)
    assert hypotheses(records) == {"call": [("yes", None)]}
    assert notices[0] == "1 results left out, because they have no alternatives"


@pytest.mark.parametrize("empty", [{"confidence": 0.4}, {"words": [{"word": "yes"}]}])
def test_an_omitted_transcript_is_empty(tmp_path, empty):
    """An alternative without transcript is empty text if it has no unexpected keys, and is refused otherwise."""
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"results": [{"alternatives": [{"transcript": "yes"}, empty]}]}))
    assert hypotheses(read(path)[0]) == {"call": [("yes", None), ("", None)]}
    path.write_text(json.dumps({"results": [{"alternatives": [{"transcript": "yes"}, {**empty, "text": "no"}]}]}))
    assert '"transcript" of an alternative is not text' in refusal(lambda: read(path)).message


def test_a_file_may_hold_several_responses(tmp_path):
    """JSON lines and an array of responses are read, and errors name the line."""
    line = '{"results": [{"alternatives": [{"transcript": "yes"}]}]}'
    path = tmp_path / "calls.json"
    for text in (f"{line}\n{line}\n", f"[{line},\n{line}]"):
        path.write_text(text)
        assert list(hypotheses(read(path)[0])) == ["calls-1", "calls-2"]
    path.write_text(f"{line}\n" + '{"results": [{"alternatives": [{}]}]}\n')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert '"transcript" of an alternative is not text' in error.message
