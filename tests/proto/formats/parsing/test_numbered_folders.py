"""lorb.formats.parsing.numbered_folders: numbered folders."""

from lorb.formats.parsing.numbered_folders import numbered_folders
from support.lists.formats_as_written import refusal


def test_folders_come_in_the_order_of_their_numbers(tmp_path):
    """Files, other names and numbers that are written otherwise do not count."""
    for name in ("output.10", *(f"output.{n}" for n in range(1, 10)), "output.02", "output.x", "other.1"):
        (tmp_path / name).mkdir()
    (tmp_path / "output.11").write_text("a file")
    assert [folder.name for folder in numbered_folders(tmp_path, "output.")] == [f"output.{n}" for n in range(1, 11)]
    assert numbered_folders(tmp_path, "none.") == []
    assert numbered_folders(tmp_path / "none", "output.") == []


def test_a_missing_number_is_named(tmp_path):
    """With the folder it should be in."""
    for name in ("1best_recog", "4best_recog"):
        (tmp_path / name).mkdir()
    error = refusal(lambda: numbered_folders(tmp_path, "", "best_recog"))
    assert error.message == f"{tmp_path}: 2best_recog is missing, 4best_recog is here"
