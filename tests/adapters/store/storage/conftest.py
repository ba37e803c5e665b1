"""A local store with content, and stores on a real S3 server."""

import uuid

import pytest

from lorb_adapters.store.storage.local_folder import LocalFolder


@pytest.fixture
def storage(tmp_path) -> LocalFolder:
    """A folder "a" with a file and a folder "one" of two files."""
    storage = LocalFolder(tmp_path / "store", lock_seconds=0.2)
    with storage.change() as change:
        change.put_folder("a/one", {"x": b"x", "y": b"y"})
        change.put_file("a/file", b"before")
    return storage


@pytest.fixture(scope="module")
def _s3_server():
    pytest.importorskip("s3fs", reason="no s3fs: pip install '.[s3]'")
    pytest.importorskip("moto", reason="no moto: its server speaks S3")
    from support.servers.s3_server import s3_server

    with pytest.MonkeyPatch.context() as patch, s3_server(patch.setenv) as server:
        yield server


@pytest.fixture
def s3(_s3_server):
    """The S3 server, reset after each test."""
    yield _s3_server
    _s3_server.supports_conditions = True
    _s3_server.before_put = _s3_server.after_put = lambda path: None


@pytest.fixture
def s3_url(s3):
    """The URL of a store in a new bucket."""
    import s3fs

    bucket = f"b{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    s3.puts.clear()
    return f"s3://{bucket}/store"
