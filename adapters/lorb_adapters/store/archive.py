"""Writes a version to a tar, and reads a version from a tar or a folder without extracting anything."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lorb.errors import InvalidAdapter, MalformedFile
from lorb_adapters.atomic_files import atomic_file
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.storage.local_folder import LocalFolder
from lorb_adapters.store.storage.protocol import check_size
from lorb_adapters.store.version_files import MAX_BYTES, check_names

_MAX_ENTRIES = 2 * len(MAX_BYTES)  # leaves room for entries of folders


def write_archive(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Writes the files of a version to a tar, each as `<domain>/<version>/<file>`.

    The same version always gives the same bytes. Raises InvalidInput if `path` cannot be written.
    """
    with atomic_file(path, "out") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            member = tarfile.TarInfo(f"{manifest.domain}/{manifest.version}/{name}")
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))


def read_archive(path: Path) -> dict[str, bytes]:
    """Reads the files of a version from a tar or a folder, which must hold one version.

    Raises MalformedFile if the tar is broken, or neither a file nor a folder. Raises InvalidAdapter if an entry is a
    link, has an absolute name or ".." in its name, does not belong in a version or is too large, or if a required file
    is missing.
    """
    files = _read_folder(path) if path.is_dir() else _read_tar(path)
    check_names(list(files))
    return files


def _read_folder(path: Path) -> dict[str, bytes]:
    folder = LocalFolder(path)
    names = folder.list_names("")
    check_names(names)
    return {name: folder.read(name, MAX_BYTES[name]) for name in names}


def _read_tar(path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    if path.exists() and not path.is_file():  # a named pipe without a writer would never end
        raise MalformedFile(path, 0, "is not a regular file")
    try:
        with tarfile.open(path, "r:") as tar:  # uncompressed only: a small compressed tar can expand without bound
            for count, member in enumerate(tar, start=1):
                if count > _MAX_ENTRIES:
                    raise InvalidAdapter(f"{path} has more than {_MAX_ENTRIES} entries", field=str(path))
                if not member.isdir():
                    name = _checked_name(path, member, files)
                    files[name] = _read_member(path, tar, member)
    except (tarfile.TarError, EOFError, OSError) as problem:
        raise MalformedFile(path, 0, f"is not a readable tar: {problem}") from problem
    return files


def _checked_name(path: Path, member: tarfile.TarInfo, files: Mapping[str, bytes]) -> str:
    member_path = PurePosixPath(member.name)
    name = member_path.name
    if member_path.is_absolute() or ".." in member_path.parts:
        raise InvalidAdapter(f"{path}: {member.name[:80]!r} points outside the archive", field=member.name[:80])
    if not member.isreg():
        raise InvalidAdapter(f"{path}: {member.name[:80]!r} is not a regular file", field=member.name[:80])
    if name in files:
        raise InvalidAdapter(f"{path}: {name} appears twice: pack one version in a tar", field=name)
    if name not in MAX_BYTES:
        raise InvalidAdapter(f"{path}: {name[:80]!r} does not belong in a version", field=name[:80])
    check_size(name, member.size, MAX_BYTES[name])
    return name


def _read_member(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = file.read() if file else b""
    if len(content) != member.size:
        raise MalformedFile(path, 0, f"ends inside {member.name[:80]!r}")
    return content
