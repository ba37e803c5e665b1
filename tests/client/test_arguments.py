"""lorb_client.arguments: flags and environment of the commands that call a server."""

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
    """What a server on the same machine needs."""
    assert accessed() == Access()


def test_tls_without_a_file_trusts_the_public_authorities():
    """--tls alone; a name to check goes with it."""
    assert accessed("--tls", "--tls-server-name", "lorb.example").tls == Tls(server_name="lorb.example")
    with pytest.raises(InvalidInput, match="--tls-server-name"):
        accessed("--tls-server-name", "lorb.example")


def test_files_may_come_from_the_environment(monkeypatch, tmp_path):
    """For health checks in containers; a flag wins."""
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


def test_a_file_that_is_none_is_told_at_once():
    """Not when half of the lists are through."""
    with pytest.raises(InvalidInput, match="/none: No such file"):
        accessed("--tls-ca", str(Path("/none")))
