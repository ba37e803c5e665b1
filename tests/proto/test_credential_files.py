"""lorb.credential_files: wrong certificates, keys and tokens are refused by name."""

import os
from pathlib import Path

import pytest

from lorb.credential_files import CredentialFile, check_ca, check_pair
from lorb.errors import InvalidInput
from support.servers.certificates import Authority, locked_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("credentials"), "ca")


def named(path, name="certificate"):
    return CredentialFile(path, name, f"--{name}")


def test_a_file_is_named_by_setting_and_path(tmp_path):
    """Messages name a file by its flag and path, or by its path if there is no flag."""
    assert str(CredentialFile(tmp_path / "a", "tls_key", "--tls-key")) == f"--tls-key {tmp_path / 'a'}"
    assert str(CredentialFile(tmp_path / "a", "tls")) == str(tmp_path / "a")


@pytest.mark.parametrize(("content", "words"), [(None, "No such file or directory"), (b"\xff", "not UTF-8")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, words):
    """A missing file and one that is not UTF-8 are refused with flag, path and reason."""
    file = CredentialFile(tmp_path / "token", "token_file", "--token-file")
    if content is not None:
        file.path.write_bytes(content)
        assert file.read() == content
    with pytest.raises(InvalidInput) as caught:
        file.read_text()
    assert caught.value.message == f"--token-file {tmp_path / 'token'}: {words}"
    assert caught.value.field == "token_file"


def test_a_change_token_differs_after_a_change(tmp_path):
    """The change token differs after a write, a replacement and a removal, but not after a read."""
    file = named(tmp_path / "token")
    assert file.change_token() is None
    file.path.write_text("first")
    first = file.change_token()
    file.read()
    assert file.change_token() == first
    file.path.write_text("longer")
    longer = file.change_token()
    (tmp_path / "new").write_text("second")
    os.replace(tmp_path / "new", file.path)
    assert len({None, first, longer, file.change_token()}) == 4


def test_a_pair_and_an_authority_pass(authority):
    """A valid certificate, key and CA raise no error."""
    certificate, key = authority.issue("server")
    check_pair(named(certificate), named(key, "key"))
    check_ca(named(authority.path, "ca"), authority.path.read_bytes())


def test_files_that_are_no_pair_are_named(authority, tmp_path):
    """Files that are no valid pair are refused, and the message names the file and the problem."""
    certificate, key = authority.issue("named")
    _, other = authority.issue("other")
    nonsense, locked, gone = tmp_path / "nonsense", locked_key(tmp_path / "locked"), tmp_path / "gone"
    nonsense.write_text("nothing")
    for pair, field, words in [
        ((certificate, other), "key", f"--certificate {certificate} and --key {other} do not belong together"),
        ((nonsense, key), "certificate", f"--certificate {nonsense} and --key {key} are not a certificate and its"),
        ((certificate, nonsense), "certificate", "in PEM"),
        ((certificate, locked), "key", f"--key {locked}: the key is encrypted with a password"),
        ((certificate, gone), "certificate", "No such file"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            check_pair(named(pair[0]), named(pair[1], "key"))
        assert words in caught.value.message
        assert caught.value.field == field


@pytest.mark.parametrize("content", [b"nothing", b"\xff", b""])
def test_what_is_no_authority_is_named(tmp_path, content):
    """Content that is no CA certificate is refused."""
    with pytest.raises(InvalidInput, match=f"--ca {tmp_path}: no CA certificate in PEM") as caught:
        check_ca(named(tmp_path, "ca"), content)
    assert caught.value.field == "ca"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_a_regular_file_is_read(tmp_path, kind):
    """A pipe without a writer, a folder and a device are refused at once, and have no change token."""
    file = named(tmp_path / "token" if kind != "device" else Path("/dev/zero"))
    if kind != "device":
        (os.mkfifo if kind == "pipe" else os.mkdir)(file.path)
    assert file.change_token() is None
    with pytest.raises(InvalidInput, match="not a regular file"):
        file.read()


def test_lines_are_parsed_and_named(tmp_path):
    """Comments and empty lines are skipped; an error gets the line's number."""
    file = named(tmp_path / "numbers")
    file.path.write_text("# numbers\n\n 1 \n2\n")
    assert file.parse_lines(int) == [1, 2]

    def refuse(line):
        raise InvalidInput(f"{line} is wrong")

    with pytest.raises(InvalidInput) as caught:
        file.parse_lines(refuse)
    assert caught.value.message == f"--certificate {file.path}:3: 1 is wrong"
