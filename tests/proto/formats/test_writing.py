"""lorb.formats.writing: native files, written atomically."""

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
    """Lists with all fields are equal after writing and reading."""
    full = NBest((Hypothesis("ä b", -1.5, {"lm": -0.5}), Hypothesis("", -2.0)), "full", "hello?", "a b", "books")
    path = tmp_path / name
    assert write_native(path, [full, *sample_lists]) == 1 + len(sample_lists)
    assert read_nbest_lists([path]) == [full, *sample_lists]


def test_records_come_back_with_every_field(tmp_path):
    """Unknown fields of any JSON value are equal after writing and reading."""
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


def test_only_names_in_gz_are_compressed(tmp_path, sample_lists):
    """A file is compressed only if its name ends in .gz."""
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    write_native(plain, sample_lists)
    write_native(packed, sample_lists)
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()


def test_equal_lists_make_equal_bytes(tmp_path, sample_lists):
    """Equal lists give equal bytes: the gzip header holds no time and no name."""
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    write_native(first, sample_lists)
    write_native(second, sample_lists)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, sample_lists, error):
    """After an error among the records, the old file is unchanged and no other file is left."""

    def broken():
        yield sample_lists[0]
        raise error

    path = tmp_path / "lists.jsonl"
    path.write_text("old")
    with pytest.raises(error):
        write_native(path, broken())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["lists.jsonl"]


def test_a_full_disk_is_not_invalid_input(tmp_path, sample_lists):
    """A full disk raises LorbError but not InvalidInput, and leaves no file."""
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


def test_an_unwritable_path_is_refused_before_any_record_is_read(tmp_path):
    """A missing folder, a folder and a device are refused before the first record is read."""

    def unasked():
        pytest.fail("a record was asked for")
        yield {}

    for path in (tmp_path / "none" / "lists.jsonl", tmp_path, Path("/dev/null")):
        with pytest.raises(InvalidInput) as caught:
            write_native(path, unasked())
        assert caught.value.message.startswith(f"{path}: ")
