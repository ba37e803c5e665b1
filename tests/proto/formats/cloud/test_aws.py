"""lorb.formats.cloud.aws: Amazon Transcribe's results."""

from functools import partial

import pytest

from lorb.formats.cloud.aws import read_aws
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_aws)


def test_every_segment_is_a_list_without_scores():
    """The order is the service's; case and punctuation stay and are mentioned; other fields are kept."""
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
        "2 lists without scores: the service rates no alternative",
        "2 lists with the service's case and punctuation",
    ]


def test_a_result_without_alternatives_says_how_to_get_them(tmp_path):
    """The default of a job."""
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
def test_what_is_wrong_has_its_line(tmp_path, segment, words):
    """The line is the segment's."""
    path = tmp_path / "job.json"
    path.write_text(f'{{"results": {{"segments": [\n{segment}]}}}}')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert words in error.message
