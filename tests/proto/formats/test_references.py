"""lorb.formats.references: reference transcripts by utterance."""

from pathlib import Path

import pytest

from lorb.formats.record import ListRecord
from lorb.formats.references import References
from support.lists.formats_as_written import FOLDER, refusal


@pytest.mark.parametrize("name", ["text", "ref.trn"])
def test_both_kinds_of_file_give_the_same(name):
    """Kaldi text and trn files of the same transcripts give the same references."""
    assert References.read([FOLDER / "references" / name]).texts == {
        "5338-284437-0002": "what that little cabin",
        "5338-284437-0003": "exclaimed trot of course",
        "3536-8226-0007": "of course it ain't said missus bozzle",
    }


def test_a_table_may_have_brackets_and_empty_texts(tmp_path):
    """A file with one line that is not trn is read as a table, with brackets and empty texts."""
    path = tmp_path / "text"
    path.write_text("u1 yes (noise)\nu2\nu3\tno \n")
    assert References.read([path]).texts == {"u1": "yes (noise)", "u2": "", "u3": "no"}


def test_a_trn_may_have_empty_texts(tmp_path):
    """An empty transcript in a trn file is read."""
    path = tmp_path / "ref.trn"
    path.write_text("yes\t(u1)\n(u2)\n")
    assert References.read([path]).texts == {"u1": "yes", "u2": ""}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("u1 a\nu1 b\n", 2, "the reference of 'u1' is repeated"),
        ("u1 a\nu2 b", 2, "the file is truncated"),
        ("u1 a\n b\n", 2, "begins with white space"),
        ("", 1, "the file is empty"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, words):
    """Truncated, repeated, misplaced and missing references are refused with their line."""
    path = tmp_path / "text"
    path.write_text(text)
    error = refusal(lambda: References.read([path]))
    assert (error.path, error.line) == (str(path), line)
    assert words in error.message


def test_a_list_without_reference_names_both_files():
    """The error of a list without reference names the list's line and the reference file."""
    references = References({"u1": "b"}, (Path("text"),))
    record = ListRecord.of({"id": "u1", "ref": "a", "hyps": [{"text": "a"}]}, Path("lists"), 7)
    assert references.apply_to(record).nbest.reference == "b"
    other = ListRecord.of({"id": "u2", "hyps": [{"text": "a"}]}, Path("lists"), 8)
    assert refusal(lambda: references.apply_to(other)).message == "lists:8: list 'u2' has no reference in text"
