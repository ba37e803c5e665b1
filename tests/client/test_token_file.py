"""lorb_client.token_file: a token that may be replaced while the client lives."""

import os
import pickle

import pytest

from lorb.errors import InvalidInput
from lorb_client.calls import CallSettings
from lorb_client.token_file import TokenFile


def test_a_changed_file_changes_the_token(tmp_path):
    """With the next call; while the file is empty or gone, the last good one goes on."""
    path = tmp_path / "token"
    path.write_text("first\n")
    settings = CallSettings("localhost:1", token=TokenFile(path))
    assert settings.metadata == (("authorization", "Bearer first"),)
    path.write_text("")
    assert settings.metadata == (("authorization", "Bearer first"),)
    path.unlink()
    assert settings.metadata == (("authorization", "Bearer first"),)
    (tmp_path / "new").write_text("second\n")
    os.replace(tmp_path / "new", path)
    assert settings.metadata == (("authorization", "Bearer second"),)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), (b"", "empty"), (b"\xff", "not UTF-8"), (b"a\nb", "one line")]
)
def test_a_file_without_a_token_is_refused(tmp_path, content, words):
    """By its name, when the client is made."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        TokenFile(path)


def test_it_travels_to_other_processes(tmp_path):
    """As its path: lorb-load's workers read it themselves."""
    (tmp_path / "token").write_text("abc")
    assert pickle.loads(pickle.dumps(TokenFile(tmp_path / "token"))).token == "abc"  # noqa: S301 - our own bytes
