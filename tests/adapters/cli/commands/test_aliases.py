"""lorb_adapters.cli.commands.aliases."""


def test_commands_change_aliases(store, run):
    """`promote`, `rollback` and `unalias` change the aliases and print the change."""
    first, second = store.versions("voice")
    assert run("promote", "voice", first)[:2] == (0, f"voice@stable: {second} -> {first}\n")
    assert run("promote", "voice", second, "--alias", "canary", "--share", "0.1")[0] == 0
    assert store.aliases("voice").by_name["canary"].share == 0.1
    assert run("promote", "voice", "canary")[1] == f"voice@stable: {first} -> {second}\n"
    assert run("rollback", "voice")[1] == f"voice@stable: {second} -> {first}\n"
    assert run("unalias", "voice", "canary")[1] == f"voice@canary: {second} -> none\n"
    assert set(store.aliases("voice").by_name) == {"stable"}
