"""lorb_adapters.cli.adapters."""

import pytest

from lorb_adapters.cli import adapters as cli

COMMANDS = ["list", "show", "verify", "promote", "rollback", "unalias", "prune", "export", "import", "keygen", "sign"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", "video"], "the store has no domain 'video'"),
        (["show", "../../etc"], "domain '../../etc' is not a name"),
        (["show", "voice@shadow"], "there is no alias 'shadow'"),
        (["promote", "voice", "9-0123456789ab"], "has no version 9-0123456789ab"),
        (["promote", "voice", "stable", "--alias", "canary"], "share is None"),
        (["promote", "voice", "stable", "--alias", "2nd"], "begins with a digit"),
        (["prune", "voice", "--keep", "-1"], "keep is -1"),
        (["import", "nowhere.tar"], "nowhere.tar"),
        (["verify", "--base", "no/such/base"], "base 'no/such/base'"),
    ],
)
def test_an_error_is_one_line_and_status_2(store, run, arguments, problem):
    """A user's mistake prints one line on stderr and exits with status 2."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("lorb-adapters: ")
    assert err.count("\n") == 1
    assert problem in err


def test_the_store_comes_from_the_flag_before_the_environment(store, run, tmp_path, monkeypatch):
    """--store before or after the command wins over LORB_STORE; without either the error says what to give."""
    assert run("list", "--store", tmp_path / "nowhere")[0] == 2
    assert run("--store", tmp_path / "nowhere", "list")[0] == 2
    monkeypatch.delenv("LORB_STORE")
    assert run("--store", store.url, "list")[0] == 0
    assert run("list", "--store", store.url)[0] == 0
    status, _, err = run("list")
    assert (status, err) == (2, "lorb-adapters: no store is given: use --store or set LORB_STORE\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_store(capsys, command):
    """Every command prints its help without a store."""
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: lorb-adapters {command}" in capsys.readouterr().out
