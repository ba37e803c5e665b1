"""Sets are written in one step, also by several cells at once."""

import multiprocessing

from study.lists.sets import read, write

RECORDS = [{"id": "1", "hyps": ["a"]}, {"id": "2", "hyps": ["b"]}]


def test_a_cut_that_two_cells_make_at_once_is_whole(tmp_path):
    """A second process that writes the same file does not damage it."""
    path = tmp_path / "cuts" / "some-2.jsonl.gz"

    def slowly():
        yield RECORDS[0]
        other = multiprocessing.get_context("spawn").Process(target=write, args=(path, RECORDS))
        other.start()
        other.join()
        assert other.exitcode == 0
        assert read(path) == RECORDS
        yield RECORDS[1]

    write(path, slowly())
    assert read(path) == RECORDS
    assert list(path.parent.iterdir()) == [path]
