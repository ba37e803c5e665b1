"""Records of cells: names, appended lines, torn and invalid lines."""

import multiprocessing

import pytest

from study.harness.cell import Cell
from study.harness.json_lines import append_line, read_lines
from study.harness.records import Records
from support.training.fake_work import FakeWork

FACTS = {"date": "2026-01-01", "device": "none", "threads": 1, "versions": {"torch": "0"}}


def test_a_cells_name_is_its_key():
    """Strings stay, numbers follow the name of their field, and odd characters are replaced."""
    cell = Cell({"domain": "hp_atis", "with": "a b/c", "lambda": 1e-4, "seed": 2}, FakeWork())
    assert cell.name == "hp_atis-a_b_c-lambda0.0001-seed2"


def test_a_record_reads_back_and_is_found_by_its_key(tmp_path):
    """A record is found by its key; of several lines of a cell the last one counts."""
    records = Records(tmp_path, "table9")
    cell = Cell({"domain": "a", "seed": 1}, FakeWork(7))
    assert records.get(cell) is None
    records.write(cell, {"wer": 6.5}, FACTS)
    records.write(cell, {"wer": 5.5}, FACTS)
    [found] = records.find(domain="a", seed=1)
    assert found == records.get(cell)
    assert (found.figures, found.facts) == ({"wer": 5.5}, FACTS)
    assert records.find(domain="b") == []
    assert [path.name for path in tmp_path.iterdir()] == ["table9.jsonl"]


def test_records_are_forgotten_by_a_part_of_their_names(tmp_path):
    """Only the records whose names contain the text are removed."""
    records = Records(tmp_path, "table9")
    for seed in range(3):
        records.write(Cell({"domain": "a", "seed": seed}, FakeWork(seed)), {}, FACTS)
    records.forget("seed1")
    assert [record.name for record in records.all()] == ["a-seed0", "a-seed2"]


def test_a_torn_last_line_is_noticed_and_its_cell_is_not_done(tmp_path):
    """A warning names the file, and the next record is appended as a line of its own."""
    records = Records(tmp_path, "table9")
    cells = [Cell({"n": n}, FakeWork(n)) for n in range(3)]
    for cell in cells[:2]:
        records.write(cell, {}, FACTS)
    content = records.path.read_bytes()
    records.path.write_bytes(content[:-20])
    with pytest.warns(UserWarning, match=r"table9\.jsonl ends in an incomplete line"):
        assert [records.get(cell) is None for cell in cells] == [False, True, True]
    records.write(cells[2], {}, FACTS)
    assert [records.get(cell) is None for cell in cells] == [False, True, False]


@pytest.mark.parametrize("content", ["{\n", "{}\n", "[]\n", '{"key": {}}\n'])
def test_a_line_that_is_no_record_is_named(tmp_path, content):
    """The error names file and line."""
    (tmp_path / "torn.jsonl").write_text(content)
    with pytest.raises(ValueError, match=r"torn\.jsonl:1"):
        list(Records(tmp_path, "torn").all())


def append_many(path, writer):
    """Appends lines as one writer."""
    for number in range(50):
        append_line(path, {"writer": writer, "number": number, "text": "x" * 5000})


def test_processes_that_append_at_once_lose_no_line(tmp_path):
    """Every line of every writer is there, whole, in its order."""
    path = tmp_path / "lines.jsonl"
    spawned = multiprocessing.get_context("fork")
    writers = [spawned.Process(target=append_many, args=(path, writer)) for writer in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    for writer in range(3):
        assert [line["number"] for line in read_lines(path) if line["writer"] == writer] == list(range(50))
