"""lorb_adapters.cli.commands.signing."""

import hashlib
import sys

import pytest

from lorb.errors import InvalidAdapter
from lorb_adapters.cli import adapters as cli
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from support.adapters.publications import RANKING, make_publication


def test_keygen_sign_and_verify(tmp_path, store_base, capsys, monkeypatch):
    """A key pair of `keygen` signs a version, which `verify --trusted-keys` then accepts with that key only."""
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
    status, output = run(*verify, f"{key}.pub")
    assert (status, "not signed" in output) == (1, True)
    assert run("sign", f"voice@{version}", "--signing-key", key, "--store", store.url)[0] == 0
    assert run(*verify, f"{key}.pub")[0] == 0
    status, output = run(*verify, f"{other}.pub")
    assert (status, "not one of the trusted keys" in output) == (1, True)
    assert run("verify", "--store", store.url)[0] == 0
    assert run("sign", f"voice@{version}", "--signing-key", f"{key}.pub", "--store", store.url)[0] == 2


@pytest.fixture
def sign(tmp_path, keys, capsys):
    """Runs `sign` with our key; returns the exit status and the output."""

    def sign(*arguments):
        status = cli.main(["sign", *arguments, "--signing-key", str(keys / "ours"), "--store", str(tmp_path / "store")])
        return status, "".join(capsys.readouterr())

    return sign


@pytest.fixture
def moved_alias(tmp_path, store_base):
    """A store, our version, and another valid version that `stable` was moved to."""
    store = Store(str(tmp_path / "store"))
    ours = store.publish(make_publication(store_base), set_stable=True)
    return store, ours, store.publish(make_publication(store_base, seed=7), set_stable=True)


@pytest.mark.parametrize("selector", ["voice", "voice@stable"])
def test_an_alias_is_not_signed(sign, moved_alias, keys, selector):
    """Signing a domain or an alias is refused: anyone who can write to the store can move an alias."""
    store, ours, forged = moved_alias
    status, output = sign(selector)
    assert (status, "voice@VERSION" in output, "Aliases are not signed" in output) == (2, True, True)
    for version in (ours, forged):
        with pytest.raises(InvalidAdapter, match="not signed"):
            store.manifest("voice", version, TrustedKeys(keys / "ours.pub"))


def test_sign_checks_the_manifests_digest(sign, moved_alias, keys):
    """`sign --manifest-sha256` refuses another digest, accepts the right one, and prints what was signed."""
    store, ours, forged = moved_alias
    digest, other = (hashlib.sha256(store.manifest_content("voice", each)).hexdigest() for each in (ours, forged))
    status, output = sign(f"voice@{ours}", "--manifest-sha256", other)
    assert (status, digest in output, other in output) == (2, True, True)
    with pytest.raises(InvalidAdapter, match="not signed"):
        store.manifest("voice", ours, TrustedKeys(keys / "ours.pub"))
    status, output = sign(f"voice@{ours}", "--manifest-sha256", digest.upper())
    manifest = store.manifest("voice", ours, TrustedKeys(keys / "ours.pub"))
    assert status == 0
    for fact in (digest, manifest.created_time, manifest.base_fingerprint[:12], f"weight          {RANKING.weight}"):
        assert fact in output
    assert all(f"{name} ({sha256[:12]})" in output for name, sha256 in manifest.training_data.items())


def test_without_the_package_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    """Without the package cryptography `keygen` prints what to install and exits with status 2."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert cli.main(["keygen", str(tmp_path / "key")]) == 2
    assert "pip install 'lorb[signing]'" in capsys.readouterr().err
