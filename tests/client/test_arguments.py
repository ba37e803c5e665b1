"""lorb_client.arguments: flags and environment variables of token and TLS."""

import argparse
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from lorb_client.access import Access, Tls
from lorb_client.arguments import access_from_arguments, add_access_arguments


def accessed(*arguments):
    parser = argparse.ArgumentParser()
    add_access_arguments(parser)
    return access_from_arguments(parser.parse_args(arguments))


def test_nothing_given_is_plain_text_without_a_token():
    """Without flags the connection is plain text without a token."""
    assert accessed() == Access()


def test_tls_without_a_file_trusts_the_public_authorities():
    """--tls alone trusts the public authorities, and --tls-server-name needs TLS."""
    assert accessed("--tls", "--tls-server-name", "lorb.example").tls == Tls(server_name="lorb.example")
    with pytest.raises(InvalidInput, match="--tls-server-name"):
        accessed("--tls-server-name", "lorb.example")


def test_files_may_come_from_the_environment(monkeypatch, tmp_path):
    """Environment variables give the files, and flags take precedence."""
    (tmp_path / "token").write_text("abc")
    monkeypatch.setenv("LORB_CLIENT_TOKEN_FILE", str(tmp_path / "token"))
    assert accessed().token.token == "abc"
    monkeypatch.setenv("LORB_CLIENT_TLS_CA", "/none")
    with pytest.raises(InvalidInput, match="/none: No such file"):
        accessed()
    with pytest.raises(InvalidInput, match="/other: No such file"):
        accessed("--tls-ca", "/other")
    monkeypatch.setenv("LORB_CLIENT_TLS_CA", "")
    assert accessed().tls is None


def test_a_missing_tls_file_is_refused_at_once():
    """A missing TLS file is refused when the flags are read."""
    with pytest.raises(InvalidInput, match="/none: No such file"):
        accessed("--tls-ca", str(Path("/none")))
