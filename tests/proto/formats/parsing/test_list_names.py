"""lorb.formats.parsing.list_names: names for lists without any."""

from pathlib import Path

import pytest

from lorb.formats.parsing.list_names import bare_name, named_records

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
def test_endings_of_packing_and_format_go(name, bare):
    """What is left names the recording."""
    assert bare_name(Path("folder") / name) == bare


def test_one_list_has_the_files_name_more_are_numbered():
    """One's own name comes first; a number is no name."""
    path = Path("u1.json")
    assert [r.nbest.id for r in named_records(path, [(1, {"hyps": HYPS, "id": 5})])] == ["u1"]
    many = [(1, {"hyps": HYPS}), (2, {"id": "own", "hyps": HYPS}), (3, {"hyps": HYPS})]
    assert [(r.nbest.id, r.line) for r in named_records(path, many)] == [("u1-1", 1), ("own", 2), ("u1-3", 3)]
    assert list(named_records(path, [])) == []
