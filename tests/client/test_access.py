"""lorb_client.access: TLS files and token files."""

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
    """A certificate without key, and a key without certificate, are refused."""
    for half in ({"certificate": tmp_path / "c"}, {"key": tmp_path / "k"}):
        with pytest.raises(InvalidInput, match="give both"):
            Tls(**half)


def test_wrong_tls_files_are_named(tmp_path, authority):
    """Missing, wrong and mismatched files are refused by name."""
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
    """server_name becomes a channel option."""
    assert Tls(server_name="lorb.example").options == (("grpc.ssl_target_name_override", "lorb.example"),)
    assert Tls().options == ()


def test_a_changed_file_changes_the_token(tmp_path):
    """A changed file gives a new token; while it is empty or missing, the previous token stays."""
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
    """A file without a valid token is refused when the client is created."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        TokenFile(path)


def test_a_token_file_can_be_pickled(tmp_path):
    """A pickled TokenFile reads the token again in the other process."""
    (tmp_path / "token").write_text("abc")
    assert pickle.loads(pickle.dumps(TokenFile(tmp_path / "token"))).token == "abc"  # noqa: S301 - our own bytes


def test_a_token_may_come_from_a_pipe(tmp_path):
    """A pipe such as the shell's `<(command)` gives the token once; it is not read again."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"secret\n")
        os.close(writing)
        token = TokenFile(f"/dev/fd/{reading}")
        assert [token.token, token.token] == ["secret", "secret"]
    finally:
        os.close(reading)


def test_a_token_file_that_becomes_a_pipe_stops_no_call(tmp_path):
    """The previous token stays when a pipe without a writer takes the place of the file."""
    path = tmp_path / "token"
    path.write_text("first\n")
    settings = CallSettings("localhost:1", token=TokenFile(path))
    os.mkfifo(tmp_path / "pipe")
    os.replace(tmp_path / "pipe", path)
    assert settings.metadata == (("authorization", "Bearer first"),)
