"""lorb.formats.cloud.aws: results of Amazon Transcribe."""

from functools import partial

import pytest

from lorb.formats.cloud.aws import read_aws
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_aws)


def test_every_segment_is_a_list_without_scores():
    """Each segment gives a list in the service's order, without scores and with all other fields."""
    records, notices = read(FOLDER / "aws/5338-284437-0002.json")
    assert hypotheses(records) == {
        "5338-284437-0002-1": [
            ("What that little cabin?", None),
            ("What's that little cabin?", None),
            ("Whats that little cabin?", None),
        ],
        "5338-284437-0002-2": [("Of course.", None)],
    }
    assert records[1].fields["start_time"] == "1.2"
    assert records[1].fields["hyps"][0]["items"][0]["content"] == "Of"
    assert notices == [
        "2 lists without scores: no alternative has a confidence",
        "2 lists with the service's case and punctuation",
    ]


def test_a_result_without_alternatives_says_how_to_get_them(tmp_path):
    """A result of a job without ShowAlternatives is refused, and the message names that setting."""
    path = tmp_path / "job.json"
    path.write_text('{"jobName": "j", "results": {"transcripts": [{"transcript": "a"}], "items": []}}')
    assert "start the job with ShowAlternatives" in refusal(lambda: read(path)).message


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ("1", "a segment is not an object"),
        ("{}", "the alternatives is not an array"),
        ('{"alternatives": [1]}', "an alternative is not an object"),
        ('{"alternatives": [{"transcript": 1}]}', '"transcript" of an alternative is not text'),
        ('{"alternatives": []}', '"hyps" is empty'),
    ],
)
def test_errors_name_the_line(tmp_path, segment, words):
    """An error in a segment names the line on which the segment begins."""
    path = tmp_path / "job.json"
    path.write_text(f'{{"results": {{"segments": [\n{segment}]}}}}')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert words in error.message
