"""Records of cells: names, files that are whole or not there, and what is no record."""

import json

import pytest

from study.harness.cell import Cell
from study.harness.records import Records, read_record
from support.training.fake_work import FakeWork

FACTS = {"date": "2026-01-01", "device": "none", "threads": 1, "versions": {"torch": "0"}}


def test_a_cells_name_is_its_key_as_a_file_may_be_called():
    """Texts as they are, numbers behind the name of what they are, odd characters replaced."""
    cell = Cell({"domain": "hp_atis", "with": "a b/c", "lambda": 1e-4, "seed": 2}, FakeWork())
    assert cell.name == "hp_atis-a_b_c-lambda0.0001-seed2"


def test_a_record_reads_back_and_is_found_by_its_key(tmp_path):
    """What is written is what is read, and no partial file stays."""
    records = Records(tmp_path, "table9")
    cell = Cell({"domain": "a", "seed": 1}, FakeWork(7))
    assert records.get(cell) is None
    records.write(cell, {"wer": 5.5}, FACTS)
    [found] = records.find(domain="a", seed=1)
    assert found == records.get(cell)
    assert (found.figures, found.settings, found.facts) == ({"wer": 5.5}, {"number": 7}, FACTS)
    assert records.find(domain="b") == []
    assert [path.name for path in records.folder.iterdir()] == ["a-seed1.json"]


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"schema_version": 99})])
def test_what_is_no_record_is_named(tmp_path, content):
    """The file's name is in the error."""
    path = tmp_path / "torn.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"torn\.json"):
        read_record(path)
