"""lorb.formats.parsing.file_names: list ids from file names, and numbered folders."""

from pathlib import Path

import pytest

from lorb.formats.parsing.file_names import file_stem, named_records, numbered_folders
from support.lists.formats_as_written import refusal

HYPS = [{"text": "a"}]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("u1.json", "u1"),
        ("u.1.json.gz", "u.1"),
        ("u1", "u1"),
        ("u1.score.gz", "u1"),
        ("u1.wav.json", "u1.wav"),
        (".json", ".json"),
    ],
)
def test_suffixes_of_compression_and_format_are_removed(name, bare):
    """Only suffixes of compression and format are removed from a file name."""
    assert file_stem(Path("folder") / name) == bare


def test_one_list_has_the_files_name_more_are_numbered():
    """A single list is named after the file, several are numbered, and a text "id" takes precedence."""
    path = Path("u1.json")
    assert [r.nbest.id for r in named_records(path, [(1, {"hyps": HYPS, "id": 5})])] == ["u1"]
    many = [(1, {"hyps": HYPS}), (2, {"id": "own", "hyps": HYPS}), (3, {"hyps": HYPS})]
    assert [(r.nbest.id, r.line) for r in named_records(path, many)] == [("u1-1", 1), ("own", 2), ("u1-3", 3)]
    assert list(named_records(path, [])) == []


def test_folders_come_in_the_order_of_their_numbers(tmp_path):
    """Folders are sorted by number; files and folders with other names are ignored."""
    for name in ("output.10", *(f"output.{n}" for n in range(1, 10)), "output.02", "output.x", "other.1"):
        (tmp_path / name).mkdir()
    (tmp_path / "output.11").write_text("a file")
    assert [folder.name for folder in numbered_folders(tmp_path, "output.")] == [f"output.{n}" for n in range(1, 11)]
    assert numbered_folders(tmp_path, "none.") == []
    assert numbered_folders(tmp_path / "none", "output.") == []


def test_a_missing_number_is_named(tmp_path):
    """A gap in the numbers is an error that names the missing folder."""
    for name in ("1best_recog", "4best_recog"):
        (tmp_path / name).mkdir()
    error = refusal(lambda: numbered_folders(tmp_path, "", "best_recog"))
    assert error.message == f"{tmp_path}: 2best_recog is missing, but 4best_recog exists"
