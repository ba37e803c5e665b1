"""lorb.formats.toolkits.vosk: results of Vosk with alternatives."""

from functools import partial

import pytest

from lorb.formats.toolkits.vosk import read_vosk
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_vosk)


def test_confidences_are_log_likelihoods():
    """Confidences are taken as natural log scores."""
    records, _ = read(FOLDER / "vosk/recording.json")
    assert list(hypotheses(records)) == ["recording-1", "recording-2", "recording-3"]
    assert hypotheses(records)["recording-2"] == [
        ("exclaimed trot of course", 213.649868),
        ("exclaimed trout of course", 209.890868),
        ("exclaimed trort of course", 209.517668),
    ]
    assert [record.line for record in records] == [1, 13, 25]


def test_silence_and_leading_spaces_are_removed_and_ids_kept(tmp_path):
    """Results without alternatives are left out and counted, leading spaces are removed, and ids are kept."""
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": ""}\n{"id": "u1", "alternatives": [{"confidence": 1.5, "text": " yes"}]}\n')
    records, notices = read(path)
    assert hypotheses(records) == {"u1": [("yes", 1.5)]}
    assert notices == [
        "1 results left out, because they have no alternatives: silence, or a partial result",
        "1 texts with a leading space removed",
    ]


@pytest.mark.parametrize(
    ("alternatives", "words"),
    [
        ("1", '"alternatives" is not an array'),
        ("[1]", "an alternative is not an object"),
        ('[{"confidence": 1}]', '"text" of an alternative is not text'),
        ('[{"confidence": "1", "text": "a"}]', '"score" is not a number'),
    ],
)
def test_errors_name_the_line(tmp_path, alternatives, words):
    """An error in a result names the line on which the result begins."""
    path = tmp_path / "r.json"
    path.write_text(f'\n{{"alternatives": {alternatives}}}')
    error = refusal(lambda: read(path))
    assert error.line == 2
    assert words in error.message
