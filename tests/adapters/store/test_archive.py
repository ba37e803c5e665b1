"""lorb_adapters.store.archive."""

import io
import os
import tarfile

import pytest

from lorb.errors import InvalidAdapter, InvalidInput, MalformedFile
from lorb_adapters.store.archive import read_archive, write_archive
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import MAX_BYTES
from support.adapters.publications import make_publication


@pytest.fixture(scope="module")
def published(store_base, tmp_path_factory):
    """A version's manifest and files."""
    store = Store(str(tmp_path_factory.mktemp("archive") / "store"))
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    return store.manifest("voice", version), dict(store.read_files("voice", version))


def write_tar(path, members) -> None:
    """Packs (name, content) or (name, content, type of link or device)."""
    with tarfile.open(path, "w") as tar:
        for name, content, *kind in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if kind:
                member.type, member.linkname, member.size = kind[0], "/etc/passwd", 0
            tar.addfile(member, io.BytesIO(content))


def test_an_archive_reads_back(published, tmp_path):
    """Import reads what export wrote, and exporting a version twice gives the same bytes."""
    manifest, files = published
    write_archive(tmp_path / "a.tar", manifest, files)
    write_archive(tmp_path / "b.tar", manifest, files)
    assert read_archive(tmp_path / "a.tar") == files
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar"]


def test_a_folder_is_read_like_a_tar(published, tmp_path):
    """A version's folder can be imported like a tar."""
    for name, content in published[1].items():
        (tmp_path / name).write_bytes(content)
    assert read_archive(tmp_path) == published[1]


def test_folders_in_a_tar_are_ignored(published, tmp_path):
    """A tar with entries for folders, as other programs write it, can be imported."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        folder = tarfile.TarInfo("voice/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in published[1].items():
            member = tarfile.TarInfo(f"./voice/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert read_archive(tmp_path / "a.tar") == published[1]


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (("/etc/manifest.json", b"x"), "points outside"),
        (("../manifest.json", b"x"), "points outside"),
        (("a/../../manifest.json", b"x"), "points outside"),
        (("manifest.json", b"", tarfile.SYMTYPE), "not a regular file"),
        (("manifest.json", b"", tarfile.LNKTYPE), "not a regular file"),
        (("manifest.json", b"", tarfile.FIFOTYPE), "not a regular file"),
        (("manifest.json", b"", tarfile.CHRTYPE), "not a regular file"),
        (("voice/adapter_model.bin", b"x"), "does not belong in a version"),
        (("voice/run.sh", b"x"), "does not belong in a version"),
        (("voice/adapter_config.json", b"x" * (MAX_BYTES["adapter_config.json"] + 1)), "is larger than"),
    ],
)
def test_a_dangerous_entry_is_refused_by_name(tmp_path, member, problem):
    """Paths outside the archive, links, devices, unknown names and huge files are refused by name."""
    write_tar(tmp_path / "a.tar", [member])
    with pytest.raises(InvalidAdapter, match=problem):
        read_archive(tmp_path / "a.tar")


def test_two_versions_in_one_tar_are_refused(published, tmp_path):
    """A file name that appears twice is refused."""
    write_tar(tmp_path / "a.tar", [("1/report.md", b"1"), ("2/report.md", b"2")])
    with pytest.raises(InvalidAdapter, match=r"report\.md appears twice"):
        read_archive(tmp_path / "a.tar")


def test_too_many_entries_are_refused(tmp_path):
    """A tar with many more entries than a version has files is refused before its end is read."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(50):
            folder = tarfile.TarInfo(f"{i}/")
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
    with pytest.raises(InvalidAdapter, match="more than"):
        read_archive(tmp_path / "a.tar")


def test_a_tar_with_files_missing_is_refused(published, tmp_path):
    """A tar without one of the required files is refused, and the file is named."""
    write_tar(tmp_path / "a.tar", [("manifest.json", published[1]["manifest.json"])])
    with pytest.raises(InvalidAdapter, match=r"adapter_config\.json is missing"):
        read_archive(tmp_path / "a.tar")


def test_a_truncated_tar_is_named(published, tmp_path):
    """A tar that is truncated, empty, of another format or missing is refused by name."""
    path = tmp_path / "a.tar"
    write_archive(path, *published)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x80\x04" * 600, b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises((MalformedFile, InvalidAdapter)) as caught:
            read_archive(path)
        assert "a.tar" in str(caught.value) or "is missing" in str(caught.value)
    with pytest.raises(MalformedFile, match=r"nowhere\.tar"):
        read_archive(tmp_path / "nowhere.tar")


def test_an_unwritable_path_is_named(published, tmp_path):
    """Exporting into a folder that does not exist raises InvalidInput and leaves no file behind."""
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_archive(tmp_path / "nowhere" / "a.tar", *published)
    assert list(tmp_path.iterdir()) == []


def test_a_named_pipe_is_not_a_tar(tmp_path):
    """A named pipe in place of the tar is refused at once, although nobody writes to it."""
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(MalformedFile, match="is not a regular file"):
        read_archive(tmp_path / "pipe.tar")
