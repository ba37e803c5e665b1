"""lorb-adapters keygen, sign and verify --trusted-keys, one after the other."""

import sys

from lorb_adapters import cli
from lorb_adapters.store import Store
from publications import make_publication


def test_from_a_key_to_a_verified_signature(tmp_path, store_base, capsys, monkeypatch):
    """Without a store for keygen; verify tells unsigned from signed, and a wrong key from a right one."""
    monkeypatch.delenv("LORB_STORE", raising=False)
    store = Store(str(tmp_path / "store"))
    version = store.publish(make_publication(store_base), set_stable=True)

    def run(*arguments):
        status = cli.main([*map(str, arguments)])
        return status, "".join(capsys.readouterr())

    key, other = tmp_path / "key", tmp_path / "other"
    assert run("keygen", key)[0] == run("keygen", other)[0] == 0
    assert run("keygen", key)[0] == 2
    verify = ("verify", "--store", store.url, "--trusted-keys")
    status, said = run(*verify, f"{key}.pub")
    assert (status, "not signed" in said) == (1, True)
    assert run("sign", "voice", "--signing-key", key, "--store", store.url)[0] == 0
    assert run(*verify, f"{key}.pub")[0] == 0
    status, said = run(*verify, f"{other}.pub")
    assert (status, "not one of those trusted" in said) == (1, True)
    assert run("verify", "--store", store.url)[0] == 0
    assert run("sign", f"voice@{version}", "--signing-key", f"{key}.pub", "--store", store.url)[0] == 2


def test_without_the_package_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    """One line, not a traceback."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert cli.main(["keygen", str(tmp_path / "key")]) == 2
    assert "pip install 'lorb[signing]'" in capsys.readouterr().err
