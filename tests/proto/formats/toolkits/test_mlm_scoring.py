"""lorb.formats.toolkits.mlm_scoring: JSON of awslabs/mlm-scoring."""

import json
from functools import partial

import pytest

from lorb.errors import MalformedFile
from lorb.formats.toolkits.mlm_scoring import read_mlm_scoring
from support.lists.formats_as_written import read_with

read = partial(read_with, read_mlm_scoring)


def written(tmp_path, content, indent=2):
    """Writes a file of this format."""
    path = tmp_path / "dev.am.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=indent))
    return path


def test_hypotheses_are_ordered_by_their_numbers(tmp_path):
    """hyp_10 comes after hyp_9; leading spaces are removed, and other fields are kept."""
    hypotheses = {f"hyp_{n}": {"score": -float(n), "text": f" text {n}", "am": n} for n in (10, 1, 9, 2)}
    path = written(tmp_path, {"u1": {**hypotheses, "ref": "text 9", "speaker": "s"}})
    (record,) = read(path)[0]
    assert [(h.transcript, h.first_pass_score) for h in record.nbest.hypotheses] == [
        ("text 1", -1.0),
        ("text 2", -2.0),
        ("text 9", -9.0),
        ("text 10", -10.0),
    ]
    assert (record.nbest.id, record.nbest.reference, record.fields["speaker"]) == ("u1", "text 9", "s")
    assert record.fields["hyps"][0] == {"score": -1.0, "text": "text 1", "am": 1}


def test_scores_may_be_absent(tmp_path):
    """A list without scores is read."""
    (record,) = read(written(tmp_path, {"u1": {"hyp_1": {"text": " a"}}}))[0]
    assert not record.nbest.has_scores


def test_a_real_list_reads_the_same_as_in_the_native_format(tmp_path, sample_lists):
    """The dev sample in this format gives the same lists as in the native format."""
    content = {
        nbest.id: {
            **{
                f"hyp_{n}": {"score": h.first_pass_score, "text": f" {h.transcript}"}
                for n, h in enumerate(nbest.hypotheses, start=1)
            },
            "ref": nbest.reference,
        }
        for nbest in sample_lists
    }
    records = read(written(tmp_path, content, indent=None))[0]
    assert [record.nbest.hypotheses for record in records] == [nbest.hypotheses for nbest in sample_lists]
    assert [record.nbest.id for record in records] == [nbest.id for nbest in sample_lists]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ('{"u1":\n{"hyp_1": {"text": 1}}}', 1, 'hyps[0]."text" is not text'),
        ('{\n"u1": 5}', 2, "utterance 'u1' is not an object"),
        ('{\n\n"u1": {"ref": "a"}}', 3, '"hyps" is empty'),
        ('{\n"u1": {"hyp_1": {"text": "a"}},', 2, "not JSON"),
        ("[1]", 1, "not JSON"),
    ],
)
def test_errors_name_the_line(tmp_path, content, line, words):
    """An error in an utterance names the line on which the utterance begins."""
    with pytest.raises(MalformedFile) as caught:
        read(written(tmp_path, content))[0]
    assert caught.value.line == line
    assert words in caught.value.message
