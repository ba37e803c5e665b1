"""lorb_adapters.store.read_only_store."""

import shutil
from pathlib import Path

import pytest

from lorb.errors import StoreUnavailable, UnknownVersion
from lorb.names import DomainSelector
from lorb_adapters.store.aliases import Alias
from lorb_adapters.store.read_only_store import MAX_GENERATION, ReadOnlyStore
from support.adapters.publications import publish


def test_selectors_are_resolved(store, store_base):
    """A domain alone resolves to its stable version; aliases and versions resolve to theirs."""
    first, second = publish(store, store_base, seed=1), publish(store, store_base, seed=2, set_stable=False)
    store.set_alias("voice", "canary", second, 0.1)
    for text, version in (("voice", first), ("voice@canary", second), (f"voice@{second}", second)):
        assert store.resolve(DomainSelector.parse(text)) == version
    for text in ("voice@shadow", "voice@9-0123456789ab"):
        with pytest.raises(UnknownVersion):
            store.resolve(DomainSelector.parse(text))


def test_domains_are_folders_with_versions(store, store_base):
    """Files, links, invalid names and empty folders in the store are not listed as domains."""
    publish(store, store_base, domain="voice")
    publish(store, store_base, domain="0-digits.are_fine")
    root = Path(store.url)
    (root / "empty").mkdir()
    (root / "lost+found").mkdir()
    (root / "file").write_text("x")
    (root / "linked").symlink_to(root / "voice")
    shutil.copytree(root / "voice", root / "base")
    assert store.domains() == ["0-digits.are_fine", "voice"]


def test_a_reader_needs_no_write_access(store, store_base):
    """A store without write permissions and without a lock file can be read and stays unchanged."""
    version = publish(store, store_base)
    root = Path(store.url)
    (root / ".lock").unlink()
    before = sorted(root.rglob("*"))
    for path in [root, *before]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        reader = ReadOnlyStore(store.url)
        reader.read_files("voice", version)
        assert reader.domains() == ["voice"]
        assert reader.aliases("voice").by_name == {"stable": Alias(version)}
        assert reader.generation() == 1
        assert sorted(root.rglob("*")) == before
    finally:
        for path in [root, *before]:
            path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.parametrize("generation", [str(MAX_GENERATION + 1), "1" + "0" * 400, "1" + "0" * 5000, "-1", "1e400"])
def test_a_generation_beyond_the_bound_is_refused(store, store_base, generation):
    """A generation that no metric and no message can hold is an unreadable store, not a failed poll."""
    publish(store, store_base)
    (Path(store.url) / "index.json").write_text(f'{{"schema_version": 1, "generation": {generation}}}')
    with pytest.raises(StoreUnavailable, match=r"^index\.json") as caught:
        store.generation()
    assert len(str(caught.value)) < 200


def test_the_generation_never_passes_its_bound(store, store_base):
    """A writer that would raise the largest generation is refused and changes nothing."""
    version = publish(store, store_base)
    (Path(store.url) / "index.json").write_text(f'{{"schema_version": 1, "generation": {MAX_GENERATION}}}')
    assert store.generation() == MAX_GENERATION
    with pytest.raises(StoreUnavailable, match="write a smaller one"):
        store.set_alias("voice", "shadow", version)
    assert set(store.aliases("voice").by_name) == {"stable"}


@pytest.mark.parametrize(("file", "size"), [("index.json", 4096), ("voice/aliases.json", 4 * 1024 * 1024)])
def test_a_large_file_is_refused_before_it_is_parsed(store, store_base, file, size):
    """An index or aliases file above its limit is refused with its name, its size and the limit."""
    publish(store, store_base)
    (Path(store.url) / file).write_bytes(b" " * (size + 1))
    read = store.generation if file == "index.json" else lambda: store.aliases("voice")
    with pytest.raises(StoreUnavailable, match=rf"^{file} is larger than {size} bytes: it has {size + 1}$"):
        read()
