"""lorb.formats.writing: native files, whole or not at all."""

import gzip
import json
import os
import resource
import signal
from pathlib import Path

import pytest

from lorb.errors import InvalidInput, LorbError
from lorb.formats import read_list_records, read_nbest_lists, write_native
from lorb.nbest import Hypothesis, NBest

SAMPLE = Path(__file__).parents[2] / "data" / "librispeech" / "dev.jsonl.gz"


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.jsonl.gz"])
def test_lists_come_back_as_they_were_written(tmp_path, sample_lists, name):
    """Real lists, and one with every field a list can have."""
    full = NBest((Hypothesis("ä b", -1.5, {"lm": -0.5}), Hypothesis("", -2.0)), "full", "hello?", "a b", "books")
    path = tmp_path / name
    assert write_native(path, [full, *sample_lists]) == 1 + len(sample_lists)
    assert read_nbest_lists([path]) == [full, *sample_lists]


def test_records_come_back_with_every_field(tmp_path):
    """Fields that are not ours survive, odd ones too."""
    records = [record.fields for record in read_list_records([SAMPLE])]
    odd = {
        "id": "odd",
        "hyps": [{"text": "a", "words": [{"t": 0.1}]}],
        "note": "\ud800",
        "nested": {"x": None},
    }
    path = tmp_path / "lists.jsonl"
    write_native(path, [*records, odd])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*records, odd]


def test_only_a_name_in_gz_is_packed(tmp_path, sample_lists):
    """The suffix decides."""
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    write_native(plain, sample_lists)
    write_native(packed, sample_lists)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_equal_lists_make_equal_bytes(tmp_path, sample_lists):
    """No time and no name inside: files can be compared by their digest."""
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_native(first, sample_lists)
    write_native(second, sample_lists)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, sample_lists, error):
    """Whatever goes wrong among the records, the file is the old one and nothing lies beside it."""

    def broken():
        yield sample_lists[0]
        raise error

    path = tmp_path / "lists.jsonl"
    path.write_text("old")
    with pytest.raises(error):
        write_native(path, broken())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["lists.jsonl"]


def test_a_disk_that_is_full_is_not_the_callers_fault(tmp_path, sample_lists):
    """An error of ours, but no InvalidInput: the same command may succeed later. Nothing is left behind."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(LorbError, match="cannot be written: File too large") as caught:
            write_native(tmp_path / "lists.jsonl", sample_lists)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not isinstance(caught.value, InvalidInput)
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_refused_before_any_record_is_asked_for(tmp_path):
    """No folder, a folder in the file's place, a device: said before the work, and /dev/null stays."""

    def unasked():
        pytest.fail("a record was asked for")
        yield {}

    for path in (tmp_path / "none" / "lists.jsonl", tmp_path, Path("/dev/null")):
        with pytest.raises(InvalidInput) as caught:
            write_native(path, unasked())
        assert caught.value.message.startswith(f"{path}: ")
