"""lorb.formats.toolkits.espnet1: data.json of ESPnet1."""

import json
from functools import partial

import pytest

from lorb.formats.toolkits.espnet1 import read_espnet1
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_espnet1)


def written(tmp_path, content):
    """Writes a data.json with this content."""
    path = tmp_path / "data.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=4, ensure_ascii=False))
    return path


def output(n, text="▁a", **others):
    """One hypothesis as ESPnet1 writes it."""
    return {"name": f"target1[{n}]", "rec_text": text, "score": -float(n), "text": "a"} | others


def test_tokens_become_words_and_the_reference_is_kept():
    """Token marks are removed and counted, and the text beside the hypotheses is the reference."""
    records, notices = read(FOLDER / "espnet1" / "data.json")
    assert hypotheses(records)["3536-8226-0007"] == [
        ("of course it ain't said missus bossel", pytest.approx(-2.389)),
        ("of course it ain't said missus bosel", pytest.approx(-3.4193)),
    ]
    assert records[0].nbest.reference == "of course it ain't said missus bozzle"
    assert records[0].fields["utt2spk"] == "3536-8226"
    assert records[0].fields["hyps"][0]["rec_tokenid"].startswith("100 107")
    assert notices == [
        "8 texts with U+2581 or <space> replaced by a space",
        "8 texts with control tokens such as <eos> removed",
    ]


def test_every_utterance_has_the_line_it_begins_on():
    """Each list has the line of its utterance in the document."""
    records, _ = read(FOLDER / "espnet1" / "data.json")
    lines = (FOLDER / "espnet1" / "data.json").read_text().splitlines()
    for record in records:
        assert lines[record.line - 1].strip() == f'"{record.nbest.id}": {{'


def test_hypotheses_are_ordered_by_their_numbers(tmp_path):
    """target1[10] comes after target1[2], whatever the order of the array."""
    path = written(tmp_path, {"utts": {"u": {"output": [output(n, f"▁{n}<eos>") for n in (10, 1, 2)]}}})
    assert [text for text, _ in hypotheses(read(path)[0])["u"]] == ["1", "2", "10"]


def test_spaces_of_character_models_are_kept(tmp_path):
    """Texts of character models keep their spaces; <eos> is removed, and <space> becomes a space."""
    path = written(tmp_path, {"utts": {"u": {"output": [output(1, "A CAT<eos>"), output(2, "A<space>CAT<eos>")]}}})
    assert [text for text, _ in hypotheses(read(path)[0])["u"]] == ["A CAT", "A CAT"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("5", "utterance 'u' is not an object"),
        ("{}", "\"output\" of utterance 'u' is not an array"),
        (
            '{"output": [{"name": "target1", "text": "a"}]}',
            'has no "rec_text": this data.json is not a decoding result',
        ),
        ('{"output": [[{"name": "target1[1]"}]]}', "one array for each speaker"),
        (
            '{"output": [{"name": "target1", "rec_text": "a"}]}',
            "the name 'target1' in \"output\" has no rank, such as 1",
        ),
        ('{"output": [{"name": "target1[1]", "rec_text": 1}]}', '"rec_text" is not text'),
        ('{"output": [{"name": "target1[1]", "rec_text": "a", "score": "x"}]}', "is not a number"),
        ('{"output": []}', '"hyps" is empty'),
        (
            '{"output": [{"name": "target1[1]", "rec_text": "a", "text": "a"},'
            ' {"name": "target2[1]", "rec_text": "a", "text": "b"}]}',
            "more than one target",
        ),
    ],
)
def test_errors_name_the_line(tmp_path, entry, words):
    """An error in an utterance names the line on which the utterance begins."""
    error = refusal(lambda: read(written(tmp_path, f'{{"utts": {{\n\n"u": {entry}}}}}')))
    assert error.line == 3
    assert words in error.message


def test_utts_is_an_object(tmp_path):
    """A file whose "utts" is an array is refused."""
    assert '"utts" is not an object' in refusal(lambda: read(written(tmp_path, '{"utts": [1]}'))).message
