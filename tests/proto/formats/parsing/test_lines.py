"""lorb.formats.parsing.lines: numbered lines, and errors with their line."""

import gzip

import pytest

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import numbered_lines, read_text, terminated_lines

TEXT = "erste Zeile ä\n\n  \nvierte\n"


def reading_error(path):
    """Returns the error that reading the file raises."""
    with pytest.raises(MalformedFile) as caught:
        list(numbered_lines(path))
    assert caught.value.path == str(path)
    return caught.value


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blank_lines_count_but_are_not_yielded(tmp_path, pack):
    """Line numbers count blank lines, in plain and in gzip files of any name."""
    path = tmp_path / "lists.txt"
    path.write_bytes(pack(TEXT.encode()))
    assert list(numbered_lines(path)) == [(1, "erste Zeile ä\n"), (4, "vierte\n")]


def test_the_whole_text_keeps_its_lines(tmp_path):
    """The text of a file keeps its line breaks, so that positions give line numbers."""
    path = tmp_path / "lists.txt"
    path.write_text(TEXT)
    assert read_text(path) == "erste Zeile ä\n\n\nvierte\n"


def test_a_byte_order_mark_is_not_text(tmp_path):
    """A byte order mark at the start of a file is removed."""
    path = tmp_path / "lists.txt"
    path.write_bytes(b"\xef\xbb\xbfa\n")
    assert list(numbered_lines(path)) == [(1, "a\n")]


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error(tmp_path, content):
    """A file without text is refused."""
    path = tmp_path / "empty"
    path.write_bytes(content)
    assert reading_error(path).message == f"{path}:1: the file is empty"


def test_truncated_gzip_names_the_line_it_ends_in(tmp_path):
    """A truncated gzip file is refused with the line at which it ends."""
    path = tmp_path / "cut.gz"
    packed = gzip.compress("\n".join(f"{i * i * 7919}" for i in range(5000)).encode())
    path.write_bytes(packed[: len(packed) // 2])
    error = reading_error(path)
    assert "truncated" in error.message
    assert 1 < error.line < 5000


def test_damaged_gzip_is_an_error(tmp_path):
    """A flipped byte in compressed data is found."""
    path = tmp_path / "bent.gz"
    packed = bytearray(gzip.compress(b"a line of text\n" * 100))
    packed[-6] ^= 0xFF
    path.write_bytes(packed)
    assert "damaged" in reading_error(path).message


def test_bytes_that_are_not_utf8_name_line_and_byte(tmp_path):
    """Bytes that are not UTF-8 are refused with their line and position."""
    path = tmp_path / "latin1"
    path.write_bytes(b"fine\nna\xefve\n")
    assert reading_error(path).message == f"{path}:2: not UTF-8 at byte 3 of the line"


def test_a_file_that_cannot_be_opened_says_why(tmp_path):
    """A missing file and a folder give the reason of the operating system."""
    assert "No such file" in reading_error(tmp_path / "none").message
    assert "directory" in reading_error(tmp_path).message


def test_terminated_lines_have_an_end(tmp_path):
    """Line ends of Unix and Windows are removed, and a last line without one counts as truncated."""
    path = tmp_path / "table"
    path.write_bytes(b"a\n\nb\r\n")
    assert list(terminated_lines(path)) == [(1, "a"), (3, "b")]
    path.write_bytes(b"a\n\nb")
    with pytest.raises(MalformedFile) as caught:
        list(terminated_lines(path))
    assert caught.value.message == f"{path}:3: the last line has no newline: the file is truncated"
