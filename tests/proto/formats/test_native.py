"""lorb.formats.native: JSON lines."""

import gzip
import json
from functools import partial
from pathlib import Path

import pytest

from lorb.errors import MalformedFile
from lorb.formats.native import read_native
from support.lists.formats_as_written import read_with

read = partial(read_with, read_native)

SAMPLE = Path(__file__).parents[2] / "data" / "librispeech" / "test.jsonl.gz"


def test_the_sample_is_read_whole():
    """Real lists keep ids, references, texts, scores and line numbers."""
    expected = [json.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]
    records = read(SAMPLE)[0]
    assert [record.line for record in records] == list(range(1, len(expected) + 1))
    for record, fields in zip(records, expected, strict=True):
        assert record.fields == fields
        assert (record.nbest.id, record.nbest.reference) == (fields["id"], fields["ref"])
        assert [(h.transcript, h.first_pass_score) for h in record.nbest.hypotheses] == [
            (h["text"], h["score"]) for h in fields["hyps"]
        ]


def test_json_broken_on_line_7_is_named_with_its_line(tmp_path):
    """An error on line 7 of ten names line 7."""
    lines = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()[:10]
    lines[6] = lines[6][:-20]
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(MalformedFile) as caught:
        read(path)[0]
    assert caught.value.message.startswith(f"{path}:7: not JSON: ")
