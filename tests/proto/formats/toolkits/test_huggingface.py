"""lorb.formats.toolkits.huggingface: outputs of transformers as JSON."""

import json
from functools import partial

import pytest

from lorb.formats.toolkits.huggingface import read_huggingface
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_huggingface)


def written(tmp_path, output):
    """Writes a file with one output."""
    path = tmp_path / "u1.json"
    path.write_text(json.dumps(output))
    return path


def test_a_flat_whisper_batch_is_split_by_its_ids():
    """A flat batch is split into equal parts, one for each id, and leading spaces are removed."""
    records, notices = read(FOLDER / "huggingface/whisper.json")
    assert hypotheses(records)["5338-284437-0003"] == [
        ("Exclaimed trot of course.", -0.220975),
        ("Exclaimed trout of course.", -1.160725),
        ("Exclaimed trort of course.", -1.254025),
    ]
    assert list(hypotheses(records)) == ["5338-284437-0002", "5338-284437-0003"]
    assert notices == ["6 texts with a leading space removed"]


def test_lm_score_is_the_total():
    """lm_score is the total score; logit_score is part of it, and the difference is the LM's."""
    records, notices = read(FOLDER / "huggingface/wav2vec2_with_lm.jsonl")
    first = records[0].nbest.hypotheses[0]
    assert first.first_pass_score == -0.5246
    assert first.component_scores == {"logit": pytest.approx(0.7254), "lm": pytest.approx(-1.25)}
    assert [record.line for record in records] == [1, 2, 3]
    assert notices == ["3 outputs whose lm_score is the total score: it includes logit_score"]


def test_a_nested_batch_gives_one_list_for_each_utterance(tmp_path):
    """A nested batch gives one list for each utterance, named after the file."""
    output = {"text": [["a", "b"], ["c", "d"]], "logit_score": [[-1, -2], [-3, -4]], "lm_score": [[-2, -4], [-6, -8]]}
    found = hypotheses(read(written(tmp_path, output))[0])
    assert found == {"u1-1": [("a", -2), ("b", -4)], "u1-2": [("c", -6), ("d", -8)]}


def test_scores_of_a_nested_batch_may_be_flat(tmp_path):
    """Flat scores are split in the shape of the nested texts."""
    output = {"text": [["a", "b"], ["c", "d"]], "sequences_scores": [-1, -2, -1.5, -4]}
    found = hypotheses(read(written(tmp_path, output))[0])
    assert found == {"u1-1": [("a", -1), ("b", -2)], "u1-2": [("c", -1.5), ("d", -4)]}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"text": "a", "logit_score": -1.0, "lm_score": -2.0}, {"u1": [("a", -2.0)]}),
        ({"text": ["a", "b"], "logit_score": [-1, -2]}, {"u1": [("a", -1), ("b", -2)]}),
        ({"id": "x", "texts": ["a", "b"], "sequences_scores": [-1, -2]}, {"x": [("a", -1), ("b", -2)]}),
        ({"sequences": [" <|en|> a<|endoftext|>"], "sequences_scores": [-1]}, {"u1": [("a", -1)]}),
        ({"text": ["a", "b"]}, {"u1": [("a", None), ("b", None)]}),
    ],
)
def test_one_utterance_is_read_however_it_is_dumped(tmp_path, output, expected):
    """Bare values, lists, special tokens and missing scores of one utterance are read."""
    assert hypotheses(read(written(tmp_path, output))[0]) == expected


def test_references_and_other_fields_are_kept(tmp_path):
    """The references and other fields of a batch are kept."""
    output = {"ids": ["x", "y"], "refs": ["a", "b"], "text": ["a", "b"], "sequences_scores": [-1, -2], "model": "w"}
    records, _ = read(written(tmp_path, output))
    assert [(record.nbest.id, record.nbest.reference) for record in records] == [("x", "a"), ("y", "b")]
    assert records[0].fields["model"] == "w"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ([7], "the output is not an object"),
        ({"sequences_scores": [-1]}, '"text" is not an array'),
        ({"sequences": [[50257, 50362]], "sequences_scores": [-1]}, "decode sequences with batch_decode"),
        ({"text": ["a", "b"], "sequences_scores": [-1]}, '"sequences_scores" has 1 numbers for 2 texts'),
        ({"text": ["a"], "sequences_scores": ["x"]}, 'an entry of "sequences_scores" is not a number'),
        ({"ids": ["x", "y"], "text": ["a", "b", "c"]}, '"text" has 3 texts for 2 ids'),
        ({"text": [*"abcd"], "sequences_scores": [-0.13, -1.2, -0.22, -1.16]}, "more than one utterance: give "),
        ({"ids": [], "text": ["a"]}, '"text" has 1 texts for 0 ids'),
        ({"ids": [1], "text": ["a"]}, '"id" is not text'),
        ({"id": "x", "text": [["a"], ["b"]]}, '"ids" has 1 entries for 2 lists'),
        ({"ids": ["x"], "text": []}, '"hyps" is empty'),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, output, words):
    """A wrong output is refused with its line and the problem."""
    error = refusal(lambda: read(written(tmp_path, output)))
    assert error.line == 1
    assert words in error.message
