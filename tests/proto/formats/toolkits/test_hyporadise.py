"""lorb.formats.toolkits.hyporadise: JSON of HyPoradise."""

import json
from functools import partial

import pytest

from lorb.errors import MalformedFile
from lorb.formats.toolkits.hyporadise import read_hyporadise
from support.lists.formats_as_written import read_with

read = partial(read_with, read_hyporadise)

# The shape of the published test_atis.json and test_ls_clean.json, with texts of our own.
SCORED = {"id": "i09", "input": ["a b", "a b", "a c"], "output": "a c", "am_score": [-0.32, -0.35, -0.4]}
UNSCORED = {"instruction": "choose", "input": ["x", "y"], "output": "y"}


def written(tmp_path, content):
    """Writes a file of this format."""
    path = tmp_path / "train_atis.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=4))
    return path


def test_scored_and_unscored_records_are_read(tmp_path):
    """Scores under both names, references and other fields are read."""
    path = written(tmp_path, [SCORED, UNSCORED, {"input": ["z"], "score": [-1], "id": 7}])
    scored, unscored, bare = read(path)[0]
    assert [(h.transcript, h.first_pass_score) for h in scored.nbest.hypotheses] == [
        ("a b", -0.32),
        ("a b", -0.35),
        ("a c", -0.4),
    ]
    assert (scored.nbest.id, scored.nbest.reference) == ("i09", "a c")
    assert not unscored.nbest.has_scores
    assert unscored.fields["instruction"] == "choose"
    assert (bare.nbest.id, bare.nbest.reference, bare.nbest.has_scores) == ("7", None, True)


def test_padded_copies_are_merged(tmp_path):
    """Padded copies stay in the list, and count as one distinct text."""
    (record,) = read(written(tmp_path, [SCORED]))[0]
    assert len(record.nbest.hypotheses) == 3
    assert [each.transcript for each in record.nbest.distinct()] == ["a b", "a c"]


def test_a_record_without_id_is_named_after_its_position(tmp_path):
    """A record without id is named after the file and its position."""
    path = written(tmp_path, [UNSCORED, SCORED, UNSCORED])
    assert [r.nbest.id for r in read(path)[0]] == ["train_atis.json-1", "i09", "train_atis.json-3"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ('[\n{"output": "a"}]', 2, '"input" is not an array of texts'),
        ('[\n\n{"input": ["a", "b"], "score": [-1]}]', 3, '"score" is not an array of 2 numbers'),
        ('[{"input": ["a"], "am_score": -1}]', 1, '"am_score" is not an array of 1 numbers'),
        ('[{"input": ["a", "b"], "score": [-1, null]}]', 1, "hypotheses[1].first_pass_score is missing"),
        ("[5]", 1, "record 1 is not an object"),
        ('[{"input": []}]', 1, '"hyps" is empty'),
        ('[{"input": ["a"]},', 1, "not JSON"),
    ],
)
def test_errors_name_the_line(tmp_path, content, line, words):
    """An error in a record names the line on which the record begins."""
    with pytest.raises(MalformedFile) as caught:
        read(written(tmp_path, content))[0]
    assert caught.value.line == line
    assert words in caught.value.message
