"""lorb_adapters.atomic_files."""

import pytest

from lorb.errors import InvalidInput
from lorb_adapters.atomic_files import atomic_file


@pytest.mark.parametrize("sync", [False, True])
def test_the_file_is_replaced_at_the_end(tmp_path, sync):
    """Readers see the old content until the block ends, then the new one; no other file stays."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_file(path, "out", sync=sync) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError(28, "No space left on device")])
def test_an_error_keeps_the_old_file(tmp_path, error):
    """A system error becomes InvalidInput with the path and the reason, other errors pass; the old file stays."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail():
        with atomic_file(path, "out") as file:
            file.write(b"new")
            raise error

    expected = InvalidInput if isinstance(error, OSError) else ValueError
    with pytest.raises(expected, match="^wrong$|file cannot be written: No space left on device"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    """A folder in place of the file, and a missing or wrong parent folder, are refused with the option's name."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "no" / "file", tmp_path / "file" / "file"):
        with pytest.raises(InvalidInput, match=f"{path} cannot be written: ") as caught, atomic_file(path, "out"):
            pass
        assert caught.value.field == "out"
