"""lorb.formats.reading: telling formats apart, and what concerns more than one list."""

import gzip
import json
import re
from pathlib import Path

import pytest

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats import read_list_records, read_nbest_lists
from lorb.formats.reading import detected_format

SAMPLE = Path(__file__).parents[2] / "data" / "librispeech"
NATIVE = '{"id": "u1", "ref": "a", "hyps": [{"text": "a"}]}\n{"id": "u2", "hyps": [{"text": "b"}]}\n'
MLM_SCORING = {"u1": {"hyp_1": {"score": -1.0, "text": " a"}, "ref": "a"}}
HYPORADISE = [{"input": ["a"], "output": "a"}]


def written(path, text):
    """A file with this text."""
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (NATIVE, "native"),
        ("\n\n" + NATIVE, "native"),
        ('{"id": "u1", "hyps": [{"text": "say \\"hyp_1\\": now"}]}', "native"),
        (json.dumps(MLM_SCORING), "mlm-scoring"),
        (json.dumps(MLM_SCORING, indent=2), "mlm-scoring"),
        (json.dumps(HYPORADISE), "hyporadise"),
        (json.dumps(HYPORADISE, indent=4), "hyporadise"),
        ("rubbish", "native"),
    ],
)
def test_each_format_is_told_by_its_beginning(tmp_path, text, name):
    """Pretty-printed or not; what is none of them is read, and refused, as native."""
    assert detected_format(written(tmp_path / "lists", text)) == name


@pytest.mark.parametrize("text", [NATIVE, json.dumps(MLM_SCORING), json.dumps(HYPORADISE)])
def test_auto_reads_every_format(tmp_path, text):
    """The same first hypothesis comes out of each."""
    assert read_nbest_lists([written(tmp_path / "lists", text)])[0].hypotheses[0].transcript == "a"


def test_files_are_read_in_order():
    """Lists of several files follow each other."""
    parts = [SAMPLE / f"{name}.jsonl.gz" for name in ("dev", "test")]
    together = read_nbest_lists(parts, require_references=True)
    assert together == [nbest for part in parts for nbest in read_nbest_lists([part])]


def test_an_id_twice_names_both_places(tmp_path):
    """Within a file and across files."""
    once = written(tmp_path / "a.jsonl", NATIVE)
    twice = written(tmp_path / "b.jsonl", NATIVE + "\n" + NATIVE)
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([twice])
    assert caught.value.message == f"{twice}:4: id 'u1' comes twice: first at {twice}:1"
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([once, twice])
    assert caught.value.message == f"{twice}:1: id 'u1' comes twice: first at {once}:1"


def test_an_id_twice_in_one_json_object_is_found(tmp_path):
    """The json module alone would keep the second list and lose the first."""
    entry = json.dumps(MLM_SCORING["u1"])
    path = written(tmp_path / "mlm.json", f'{{"u1": {entry},\n"u1": {entry}}}')
    with pytest.raises(MalformedFile, match="comes twice") as caught:
        read_nbest_lists([path])
    assert caught.value.line == 2


def test_a_missing_reference_is_an_error_only_where_it_is_needed(tmp_path):
    """Rescoring needs no references, training does."""
    path = written(tmp_path / "lists.jsonl", NATIVE)
    assert [nbest.reference for nbest in read_nbest_lists([path])] == ["a", None]
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([path], require_references=True)
    assert caught.value.message == f"{path}:2: list 'u2' has no reference"


@pytest.mark.parametrize("text", ["[]", "[ ]\n"])
def test_a_file_without_lists_is_an_error(tmp_path, text):
    """Also when another file has some."""
    full = written(tmp_path / "full.jsonl", NATIVE)
    path = written(tmp_path / "lists", text)
    with pytest.raises(MalformedFile, match="holds no lists") as caught:
        read_nbest_lists([full, path])
    assert caught.value.path == str(path)


@pytest.mark.parametrize("format_name", ["auto", "native", "mlm-scoring", "hyporadise"])
def test_binary_rubbish_is_refused_in_one_line(tmp_path, format_name):
    """A picture, a model, half a gzip: an error with file and line, whatever the format."""
    rubbish = bytes(range(256)) * 8
    for content in (rubbish, gzip.compress(rubbish), gzip.compress(rubbish)[:-9], b""):
        path = tmp_path / "rubbish"
        path.write_bytes(content)
        with pytest.raises(MalformedFile) as caught:
            read_nbest_lists([path], format=format_name)
        assert re.fullmatch(rf"{path}:[12]: [^\n]+", caught.value.message)


def test_an_unknown_format_is_refused():
    """The message lists those there are."""
    with pytest.raises(InvalidInput, match="auto, native, mlm-scoring, hyporadise"):
        read_nbest_lists([], format="kaldi")


def test_records_carry_every_field():
    """What lorb-rescore writes back is what was read."""
    path = SAMPLE / "dev.jsonl.gz"
    expected = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [record.fields for record in read_list_records([path])] == expected
