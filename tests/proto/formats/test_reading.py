"""lorb.formats.reading: files of all formats, and checks across lists."""

import gzip
import json
import os
import re
import threading
from pathlib import Path

import pytest

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats import FORMATS, FormatOptions, iterate_list_records, read_list_records, read_nbest_lists

SAMPLE = Path(__file__).parents[2] / "data" / "librispeech"
NATIVE = '{"id": "u1", "ref": "a", "hyps": [{"text": "a"}]}\n{"id": "u2", "hyps": [{"text": "b"}]}\n'
MLM_SCORING = {"u1": {"hyp_1": {"score": -1.0, "text": " a"}, "ref": "a"}}
HYPORADISE = [{"input": ["a"], "output": "a"}]


def written(path, text):
    """Writes a file with this text."""
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [NATIVE, json.dumps(MLM_SCORING), json.dumps(HYPORADISE)])
def test_auto_reads_every_format(tmp_path, text):
    """Lists of three formats are read without naming the format."""
    assert read_nbest_lists([written(tmp_path / "lists", text)])[0].hypotheses[0].transcript == "a"


def test_files_are_read_in_order():
    """The lists of several files are read in the order of the files."""
    parts = [SAMPLE / f"{name}.jsonl.gz" for name in ("dev", "test")]
    together = read_nbest_lists(parts, require_references=True)
    assert together == [nbest for part in parts for nbest in read_nbest_lists([part])]


def test_a_repeated_id_names_both_places(tmp_path):
    """A repeated id, in one file or in two, is an error that names both lines."""
    once = written(tmp_path / "a.jsonl", NATIVE)
    twice = written(tmp_path / "b.jsonl", NATIVE + "\n" + NATIVE)
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([twice])
    assert caught.value.message == f"{twice}:4: id 'u1' is repeated: first at {twice}:1"
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([once, twice])
    assert caught.value.message == f"{twice}:1: id 'u1' is repeated: first at {once}:1"


def test_a_repeated_id_in_one_json_object_is_found(tmp_path):
    """A repeated utterance in one JSON object is found; the json module alone would lose the first."""
    entry = json.dumps(MLM_SCORING["u1"])
    path = written(tmp_path / "mlm.json", f'{{"u1": {entry},\n"u1": {entry}}}')
    with pytest.raises(MalformedFile, match="is repeated") as caught:
        read_nbest_lists([path])
    assert caught.value.line == 2


def test_a_missing_reference_is_an_error_only_if_required(tmp_path):
    """A list without reference is refused only with require_references."""
    path = written(tmp_path / "lists.jsonl", NATIVE)
    assert [nbest.reference for nbest in read_nbest_lists([path])] == ["a", None]
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([path], require_references=True)
    assert caught.value.message == f"{path}:2: list 'u2' has no reference"


@pytest.mark.parametrize("text", ["[]", "[ ]\n"])
def test_a_file_without_lists_is_an_error(tmp_path, text):
    """A valid file without lists is refused."""
    path = written(tmp_path / "lists", text)
    with pytest.raises(MalformedFile, match="holds no lists") as caught:
        read_nbest_lists([path], format="hyporadise")
    assert caught.value.path == str(path)


@pytest.mark.parametrize("format_name", FORMATS)
def test_binary_data_is_refused_in_one_line(tmp_path, format_name):
    """Binary, compressed, truncated and empty data give an error of one line with file and line in every format."""
    rubbish = bytes(range(256)) * 8
    for content in (rubbish, gzip.compress(rubbish), gzip.compress(rubbish)[:-9], b""):
        path = tmp_path / "rubbish_width1.tsv"
        path.write_bytes(content)
        path.with_suffix(".json").write_text('{"audio_filepath": "a.wav"}\n')  # a manifest for the NeMo reader
        with pytest.raises(MalformedFile) as caught:
            read_nbest_lists([path], format=format_name)
        place = re.escape(str(path)) + ("" if format_name == "espnet2" else ":[12]")  # a folder has no lines
        assert re.fullmatch(rf"{place}: [^\n]+", caught.value.message)


def test_ids_may_repeat_with_unique_ids_false(tmp_path):
    """With unique_ids=False repeated ids are read; otherwise the second is an error."""
    path = written(tmp_path / "lists.jsonl", NATIVE)
    lists = read_nbest_lists([path, path], unique_ids=False)
    assert [nbest.id for nbest in lists] == ["u1", "u2"] * 2
    with pytest.raises(MalformedFile, match="'u1' is repeated"):
        read_nbest_lists([path, path])


def test_a_pipe_loses_no_list(tmp_path):
    """A pipe is read whole if its format is named, and refused otherwise, since detection would consume its start."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([pipe])
    assert caught.value.message.startswith(f"{pipe}: a pipe can be read only once: give --format, one of native, ")
    feeder = threading.Thread(target=_feed, args=(pipe, 400))
    feeder.start()
    lists = read_nbest_lists([pipe], format="native")
    feeder.join()
    assert [nbest.id for nbest in lists] == [f"u{i}" for i in range(400)]


def _feed(pipe, num_lists):
    with pipe.open("w") as lines:
        for i in range(num_lists):
            lines.write(f'{{"id": "u{i}", "hyps": [{{"text": "a"}}]}}\n')
            lines.flush()


def test_an_unknown_format_is_refused():
    """The message of an unknown format name lists the formats."""
    with pytest.raises(InvalidInput, match="auto, native, mlm-scoring, hyporadise"):
        read_nbest_lists([], format="htk")


def test_records_carry_every_field():
    """Records keep all fields of the file."""
    path = SAMPLE / "dev.jsonl.gz"
    expected = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [record.fields for record in read_list_records([path])] == expected


def test_lists_come_one_at_a_time(tmp_path):
    """Lists before a broken line are yielded before the error is raised."""
    path = written(tmp_path / "lists.jsonl", NATIVE + "broken")
    records = iterate_list_records([path])
    assert [next(records).nbest.id, next(records).nbest.id] == ["u1", "u2"]
    with pytest.raises(MalformedFile) as caught:
        next(records)
    assert caught.value.line == 3


def test_reference_texts_replace_the_lists_references(tmp_path):
    """References of a separate file replace those of the lists, and every list needs one."""
    path = written(tmp_path / "lists.jsonl", NATIVE)
    text = written(tmp_path / "text", "u1 a b\nu2 c\n")
    options = FormatOptions(reference_texts=(text,))
    assert [nbest.reference for nbest in read_nbest_lists([path], options=options)] == ["a b", "c"]
    text.write_text("u1 a b\n")
    with pytest.raises(MalformedFile) as caught:
        read_nbest_lists([path], options=options)
    assert caught.value.message == f"{path}:2: list 'u2' has no reference in {text}"


def test_a_reference_without_a_list_is_an_error_if_required(tmp_path):
    """With require_lists a reference without list is an error: a lost utterance would lower the word error rate."""
    path = written(tmp_path / "lists.jsonl", NATIVE)
    text = written(tmp_path / "text", "u1 a\nu2 c\nu3 d\n")
    options = FormatOptions(reference_texts=(text,))
    assert len(read_list_records([path], options=options)) == 2
    with pytest.raises(MalformedFile, match="1 references have no list, such as 'u3': "):
        read_list_records([path], options=options, require_lists=True)
