"""lorb_client.access: files that make no TLS connection are refused by name when the client is made."""

import os
import pickle

import pytest

from lorb.errors import InvalidInput
from lorb_client.access import Tls, TokenFile
from lorb_client.calls import CallSettings
from support.servers.certificates import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "ca")


def test_certificate_and_key_come_together(tmp_path):
    """One without the other proves nothing."""
    for half in ({"certificate": tmp_path / "c"}, {"key": tmp_path / "k"}):
        with pytest.raises(InvalidInput, match="give both"):
            Tls(**half)


def test_files_that_are_none_are_named(tmp_path, authority):
    """Missing, no PEM, or of two pairs."""
    certificate, key = authority.issue("decoder")
    _, other = authority.issue("other")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nothing")
    for tls, words in [
        (Tls(tmp_path / "none"), "none: No such file"),
        (Tls(nonsense), "nonsense: no CA certificate"),
        (Tls(authority.path, certificate, other), "do not belong together"),
        (Tls(authority.path, nonsense, key), "nonsense"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            tls.credentials()
        assert words in caught.value.message


def test_a_server_name_is_an_option_of_the_channel():
    """And without one there is none."""
    assert Tls(server_name="lorb.example").options == (("grpc.ssl_target_name_override", "lorb.example"),)
    assert Tls().options == ()


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
