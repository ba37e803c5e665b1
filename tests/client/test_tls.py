"""lorb_client.tls: files that make no TLS connection are refused by name when the client is made."""

import pytest

from lorb.errors import InvalidInput
from lorb_client import Tls
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
