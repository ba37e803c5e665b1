"""A read-only view of a folder as a FUSE file system, whose reads hang while it is told to hang. Needs root and Linux.

    python benchmarks/faults/fuse_folder.py SOURCE MOUNT_POINT

Serves until the file system is unmounted. On SIGUSR1 it takes requests and answers none. While it is stopped
(SIGSTOP) it takes no request.
"""

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE, _INIT = 1, 2, 3, 14, 15, 17, 18, 26
_OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _DESTROY, _BATCH_FORGET = 27, 28, 29, 36, 38, 42
_HEADER = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_DETACH = 2
_DIRECT_IO = 1


class FuseFolder:
    """Answers the kernel's requests for one mounted folder."""

    def __init__(self, source: Path, mount_point: Path) -> None:
        """Mounts the folder. Raises OSError if this is not possible here."""
        self.hangs = False
        self._paths = {1: source}  # by node
        self._nodes = {source: 1}
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if _libc().mount(b"lorb", os.fsencode(mount_point), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), f"{mount_point} cannot be mounted")

    def serve(self) -> None:
        """Answers requests until the file system is unmounted."""
        while True:
            try:
                request = os.read(self._device, 1 << 20)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue  # the request was interrupted
            _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
            if self.hangs or opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT, _DESTROY):
                continue
            try:
                status, content = 0, self._answer(opcode, node, request[_HEADER.size :])
            except OSError as error:
                status, content = -(error.errno or errno.EIO), b""
            answer = struct.pack("<IiQ", 16 + len(content), status, unique) + content
            try:
                os.write(self._device, answer)
            except OSError:  # the caller is gone
                continue

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode == _INIT:  # protocol 7.31, no read-ahead, no flags, writes of 64 KiB
            return struct.pack("<IIIIHHII", 7, 31, 0, 0, 12, 10, 65536, 1) + bytes(36)
        path = self._paths[node]
        if opcode == _LOOKUP:
            child = path / os.fsdecode(body.rstrip(b"\0"))
            attributes = _attributes(child, self._node(child))
            return struct.pack("<QQQQII", self._node(child), 0, 0, 0, 0, 0) + attributes
        if opcode == _GETATTR:
            return struct.pack("<QII", 0, 0, 0) + _attributes(path, node)
        if opcode in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, _DIRECT_IO if opcode == _OPEN else 0, 0)
        if opcode in (_READ, _READDIR):
            _, offset, size = struct.unpack_from("<QQI", body)
            if opcode == _READDIR:
                return self._entries(path, offset, size)
            with path.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        if opcode in (_RELEASE, _RELEASEDIR):
            return b""
        raise OSError(errno.ENOSYS, "not supported")

    def _entries(self, path: Path, offset: int, size: int) -> bytes:
        content = b""
        for number, name in enumerate(sorted(os.listdir(path))[offset:], offset + 1):
            raw = os.fsencode(name)
            entry = struct.pack("<QQII", self._node(path / name), number, len(raw), 0) + raw
            entry += bytes(-len(entry) % 8)
            if len(content) + len(entry) > size:
                break
            content += entry
        return content

    def _node(self, path: Path) -> int:
        node = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[node] = path
        return node


@contextmanager
def fuse_folder(source: Path, mount_point: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Serves `source` at `mount_point` in another process, and unmounts it at the end.

    Raises SystemExit if no FUSE file system can be mounted.
    """
    child = subprocess.Popen([sys.executable, __file__, str(source), str(mount_point)])
    try:
        give_up_at = time.monotonic() + 10
        while not os.path.ismount(mount_point):
            if child.poll() is not None or time.monotonic() > give_up_at:
                sys.exit("no FUSE file system can be mounted here")
            time.sleep(0.05)
        yield child
    finally:
        child.kill()  # ends all requests with an error
        child.wait()
        _libc().umount2(os.fsencode(mount_point), _DETACH)


def _attributes(path: Path, node: int) -> bytes:
    status = path.lstat()
    times = (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)
    return _ATTR.pack(
        node, status.st_size, status.st_blocks, *(each // 10**9 for each in times), *(each % 10**9 for each in times),
        status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0,
    )  # fmt: skip


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    folder = FuseFolder(Path(sys.argv[1]), Path(sys.argv[2]))
    signal.signal(signal.SIGUSR1, lambda *_: setattr(folder, "hangs", True))
    folder.serve()
