"""lorb_adapters.store.store: removing and pruning versions."""

import shutil
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from support.adapters.publications import publish


def test_a_version_number_is_not_reused(store, store_base):
    """The number of a removed version is not used again."""
    publish(store, store_base, seed=1)
    second = publish(store, store_base, seed=2, set_stable=False)
    store.remove("voice", second)
    third = publish(store, store_base, seed=2, set_stable=False)
    assert third.startswith("3-")
    assert third != second


def test_files_of_a_killed_publisher_are_ignored_and_pruned(store, store_base):
    """A half-written version is not listed, and prune removes it."""
    version = publish(store, store_base)
    left = Path(store.url) / ".tmp" / "dead" / "0"
    shutil.copytree(Path(store.url) / "voice" / "versions" / version, left)
    (left / "manifest.json").unlink()
    assert (store.domains(), store.versions("voice")) == (["voice"], [version])
    assert publish(store, store_base, seed=1).startswith("2-")
    assert store.prune("voice", keep=5, dry_run=True) == [".tmp/dead"]
    assert store.prune("voice", keep=5) == [".tmp/dead"]
    assert not left.exists()


def test_prune_keeps_the_versions_in_use(store, store_base):
    """The newest versions, those with aliases and the rollback's target stay; a dry run removes nothing."""
    versions = [publish(store, store_base, seed=seed) for seed in range(4)]
    versions += [publish(store, store_base, seed=seed, set_stable=False) for seed in range(4, 7)]
    store.set_alias("voice", "shadow", versions[0])
    unneeded = [versions[1], versions[4], versions[5]]
    assert store.prune("voice", keep=1, dry_run=True) == unneeded
    assert store.versions("voice") == versions
    assert store.prune("voice", keep=1) == unneeded
    assert store.versions("voice") == [versions[0], versions[2], versions[3], versions[6]]
    assert store.rollback("voice").to_version == versions[2]
    assert store.prune("voice", keep=0) == [versions[3], versions[6]]
    with pytest.raises(InvalidInput, match="keep"):
        store.prune("voice", keep=-1)


def test_a_version_with_an_alias_cannot_be_removed(store, store_base):
    """Removing a version with an alias is refused, and the aliases are named."""
    version = publish(store, store_base)
    with pytest.raises(InvalidInput, match=f"^the alias stable points at voice {version}: point it elsewhere first$"):
        store.remove("voice", version)
    store.set_alias("voice", "canary", version, share=0.1)
    with pytest.raises(
        InvalidInput, match=f"^the aliases canary, stable point at voice {version}: point them elsewhere first$"
    ):
        store.remove("voice", version)
    assert store.versions("voice") == [version]
