"""lorb_adapters.store.store: publications and files that are refused."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lorb.errors import InvalidAdapter, InvalidInput, StoreUnavailable
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import MAX_BYTES
from support.adapters.publications import make_publication, publish
from support.adapters.random_adapters import random_adapter


@pytest.mark.parametrize("name", ["../../etc", "..", ".", "", "a/b", "Voice", "-x", "voice@stable", "a" * 65])
def test_an_invalid_domain_name_is_refused(store, publication, name):
    """A domain name that could leave the store's folder is refused before any file is touched."""
    for call in (
        lambda: store.versions(name),
        lambda: store.aliases(name),
        lambda: store.manifest(name, "1-0123456789ab"),
        lambda: store.read_files(name, "1-0123456789ab"),
        lambda: store.publish(replace(publication, domain=name), set_stable=True),
    ):
        with pytest.raises(InvalidInput, match="domain"):
            call()
    assert not Path(store.url).exists()


@pytest.mark.parametrize("version", ["..", "1", "1-0123456789ab/..", "0-0123456789ab", "stable"])
def test_a_version_is_a_full_id(store, version):
    """Only a full version id selects a version's folder."""
    with pytest.raises(InvalidInput, match="version"):
        store.read_files("voice", version)


@pytest.mark.parametrize("domain", ["base", "index.json"])
def test_reserved_domains_cannot_be_published(store, publication, domain):
    """The names of the base and of the index file cannot be published as domains."""
    with pytest.raises(InvalidInput, match="reserved"):
        store.publish(replace(publication, domain=domain), set_stable=True)


def test_only_finite_weights_are_published(store, store_base):
    """Weights with NaN are refused, and no store is created."""
    weights = random_adapter(store_base)
    next(iter(weights.lora.values()))[1][0, 0] = float("nan")
    with pytest.raises(InvalidAdapter, match=r"lora_B\.weight holds values that are not finite"):
        store.publish(make_publication(store_base, weights=weights, golden_lists=()), set_stable=True)
    assert not Path(store.url).exists()


@pytest.mark.parametrize(
    "changes",
    [{"dev_metrics": {"wer": float("nan")}}, {"base_name": "\ud800"}, {"training_data": {"f": "x"}}],
)
def test_a_manifest_that_cannot_be_read_back_is_not_published(store, publication, changes):
    """A publication whose manifest no reader would accept is refused and leaves no version."""
    with pytest.raises(InvalidAdapter):
        store.publish(replace(publication, **changes), set_stable=True)
    assert store.domains() == []


@pytest.mark.parametrize("file", ["index.json", "voice/aliases.json"])
def test_a_truncated_file_is_named(store, store_base, file):
    """A truncated index or aliases file is named to readers and to writers."""
    version = publish(store, store_base)
    path = Path(store.url) / file
    path.write_bytes(path.read_bytes()[:20])
    read = store.generation if file == "index.json" else lambda: store.aliases("voice")
    with pytest.raises(StoreUnavailable, match=f"{re.escape(file)} is not JSON"):
        read()
    with pytest.raises(StoreUnavailable, match=f"{re.escape(file)} is not JSON"):
        publish(store, store_base, seed=1)
    assert store.versions("voice") == [version]


def test_a_manifest_above_its_limit_is_neither_read_nor_published(store, store_base, publication):
    """A manifest above the limit is refused with its size before it is parsed, and is never published."""
    version = publish(store, store_base)
    path = Path(store.url) / "voice/versions" / version / "manifest.json"
    limit = MAX_BYTES["manifest.json"]
    path.write_bytes(b"[" * (limit + 1))
    with pytest.raises(InvalidAdapter, match=rf"manifest.json is larger than {limit} bytes: it has {limit + 1}$"):
        store.manifest("voice", version)
    large = replace(publication, domain="large", dev_metrics={f"{number:x}": 0.5 for number in range(limit // 9)})
    with pytest.raises(InvalidAdapter, match=rf"^manifest.json is larger than {limit} bytes"):
        store.publish(large, set_stable=True)
    assert store.domains() == ["voice"]


@pytest.mark.parametrize("name", ["adapter_model.bin", "extra.pkl", "notes.txt", ".hidden"])
def test_unknown_files_are_refused_by_name(store, store_base, name):
    """A version with a pickle, or any other unknown file, is refused, and the file is named."""
    version = publish(store, store_base)
    (Path(store.url) / "voice/versions" / version / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidAdapter, match=name):
        store.read_files("voice", version)


@pytest.mark.parametrize("name", ["head.safetensors", "adapter_model.safetensors", "adapter_config.json"])
def test_missing_files_are_named(store, store_base, name):
    """A version without one of its required files is refused, and the file is named."""
    version = publish(store, store_base)
    (Path(store.url) / "voice/versions" / version / name).unlink()
    with pytest.raises(InvalidAdapter, match=f"{name} is missing"):
        store.read_files("voice", version)


def test_links_are_refused_at_every_level(store, store_base, tmp_path):
    """A link in place of a file, a version or a domain is refused."""
    version = publish(store, store_base)
    root = Path(store.url)
    folder = root / "voice/versions" / version
    shutil.move(folder / "head.safetensors", tmp_path / "head")
    (folder / "head.safetensors").symlink_to(tmp_path / "head")
    with pytest.raises(InvalidAdapter, match=r"head\.safetensors is a symbolic link"):
        store.read_files("voice", version)
    shutil.move(folder, tmp_path / "version")
    folder.symlink_to(tmp_path / "version")
    with pytest.raises(InvalidAdapter, match="symbolic link"):
        store.read_files("voice", version)
    (root / "other").symlink_to(root / "voice")
    with pytest.raises(InvalidAdapter, match="symbolic link"):
        store.manifest("other", version)


def test_a_version_that_moved_is_refused(store, store_base):
    """A version under another id or domain than its manifest's is refused."""
    version = publish(store, store_base)
    root = Path(store.url)
    shutil.copytree(root / "voice/versions" / version, root / f"voice/versions/7{version[1:]}")
    shutil.copytree(root / "voice", root / "video")
    with pytest.raises(InvalidAdapter, match="version is"):
        store.manifest("voice", f"7{version[1:]}")
    with pytest.raises(InvalidAdapter, match="domain is 'voice', but its folder is 'video'"):
        store.manifest("video", version)


def test_a_changed_version_cannot_be_added(store, publication, tmp_path):
    """Files that do not match the manifest, or another version under an existing id, are refused."""
    version = store.publish(publication, set_stable=True)
    files = dict(store.read_files("voice", version))
    other = Store(str(tmp_path / "other"))
    with pytest.raises(InvalidAdapter, match=r"report\.md is truncated or changed"):
        other.add(files | {"report.md": b"better"}, set_stable=True)
    assert other.add(files, set_stable=False)
    renamed = files | {
        "manifest.json": files["manifest.json"].replace(b'"uses_context": false', b'"uses_context": true')
    }
    with pytest.raises(InvalidInput, match="versions never change"):
        other.add(renamed, set_stable=True)
