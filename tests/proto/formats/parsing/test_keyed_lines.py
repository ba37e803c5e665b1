"""lorb.formats.parsing.keyed_lines: tables that are read in parallel."""

from lorb.formats.parsing.keyed_lines import KeyedLines
from support.lists.formats_as_written import refusal


def table(tmp_path, name, text):
    """Opens a table with this text."""
    path = tmp_path / name
    path.write_text(text)
    return KeyedLines(path)


def test_keys_and_values_come_in_order(tmp_path):
    """Keys, values and line numbers are read in order; blank lines count, and values may be empty."""
    lines = table(tmp_path, "a", "u1 x y \n\nu2\tz\r\nu3\n")
    taken = []
    while lines.key is not None:
        taken.append((lines.line, lines.key, lines.next_value()))
    assert taken == [(1, "u1", "x y"), (3, "u2", "z"), (4, "u3", "")]


def test_a_follower_must_have_the_leaders_keys(tmp_path):
    """A missing key and an extra key are errors that name both files."""
    leader, follower = table(tmp_path, "a", "u1 x\nu2 y\n"), table(tmp_path, "b", "u1 1\nu3 3\n")
    assert follower.expect("u1", leader, 1) == "1"
    error = refusal(lambda: follower.expect("u2", leader, 2))
    assert error.message == (f"{tmp_path}/b:2: id 'u2' of {tmp_path}/a:2 is missing here, or the order differs")
    error = refusal(lambda: follower.expect_end(leader))
    assert error.message == f"{tmp_path}/b:2: id 'u3' is not in {tmp_path}/a, or the order differs"


def test_the_end_of_a_file_is_its_last_line(tmp_path):
    """If a file ends early, the error names its last line."""
    leader, follower = table(tmp_path, "a", "u1 x\nu2 y\n"), table(tmp_path, "b", "u1 1\n")
    follower.next_value()
    assert refusal(lambda: follower.expect("u2", leader, 2)).line == 1


def test_a_line_begins_with_its_key(tmp_path):
    """A line that begins with white space is refused."""
    assert "begins with white space" in refusal(lambda: table(tmp_path, "a", " x\n")).message
