"""lorb_adapters.store.store: publishing versions and changing aliases."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peft
import pytest
import torch
from transformers import BertModel

from lorb.errors import UnknownDomain, UnknownVersion
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.store import Store
from support.adapters.publications import NORMALIZATION, make_publication, publish
from support.adapters.publisher import publish_often
from support.adapters.random_adapters import random_adapter

_NUM_VERSIONS = 10
FILES = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "head.safetensors",
    "manifest.json",
    "report.md",
    "report.json",
}


def test_a_version_is_named_by_number_and_digest(store, publication):
    """A version's id and folder name are its number and the first 12 digits of the weights' digest."""
    first = store.publish(publication, set_stable=True)
    second = store.publish(publication, set_stable=False)
    digest = weights_digest(publication.weights)
    assert (first, second) == (f"1-{digest[:12]}", f"2-{digest[:12]}")
    folder = Path(store.url) / "voice" / "versions" / first
    assert {path.name for path in folder.iterdir()} == FILES
    assert store.versions("voice") == [first, second]
    assert store.aliases("voice").version("stable") == first


def test_the_manifest_describes_the_publication(store, publication):
    """The manifest holds every field of the publication, the domain and the version."""
    version = store.publish(publication, set_stable=True)
    manifest = store.manifest("voice", version)
    assert (manifest.domain, manifest.version) == ("voice", version)
    assert manifest.weights_digest == weights_digest(publication.weights)
    assert set(manifest.file_sha256) == FILES - {"manifest.json"}
    for field in (
        "ranking",
        "normalization",
        "golden_lists",
        "dev_metrics",
        "training_data",
        "base_fingerprint",
    ):
        assert getattr(manifest, field) == getattr(publication, field)


# without a pooler there is nothing to exclude, and peft warns
@pytest.mark.filterwarnings("ignore:You have passed exclude_modules:UserWarning")
# peft 0.21 reads an attribute that transformers 5.23 renamed
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("has_pooler", [False, True])
def test_peft_loads_a_version_folder(store, store_base, tiny_bert, has_pooler):
    """The library peft loads a version's folder, and its model computes the same score as ours."""
    weights = random_adapter(store_base)
    version = store.publish(make_publication(store_base, weights=weights, golden_lists=()), set_stable=True)
    encoder = BertModel.from_pretrained(tiny_bert, add_pooling_layer=has_pooler)
    folder = Path(store.url) / "voice" / "versions" / version
    model = peft.PeftModel.from_pretrained(encoder, str(folder)).eval()
    rows = store_base.text_encoder.encode(["the cat sat"], "", NORMALIZATION, False)
    ids = torch.tensor([rows[0].token_ids])
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        per_token = hidden[rows[0].scored_from :] @ weights.head.weight + weights.head.bias
    ours = RescoringModel(store_base).score(rows, [weights], [0])
    torch.testing.assert_close(ours[0], per_token.sum(), rtol=1e-5, atol=1e-5)


def test_the_generation_grows_with_every_change(store, store_base):
    """Publishing, promoting, rolling back, removing an alias and removing a version each add one to the generation."""
    first = publish(store, store_base, seed=1)
    seen = [store.generation()]
    second = publish(store, store_base, seed=2)
    seen.append(store.generation())
    for change in (
        lambda: store.rollback("voice"),
        lambda: store.set_alias("voice", "canary", second, 0.1),
        lambda: store.remove_alias("voice", "canary"),
        lambda: store.remove("voice", second),
    ):
        change()
        seen.append(store.generation())
    assert seen == [1, 2, 3, 4, 5, 6]
    assert store.versions("voice") == [first]


def test_setting_an_alias_to_its_target_raises_the_generation(store, store_base):
    """Pointing an alias at its current target changes no alias, but servers read the store once more."""
    version = publish(store, store_base)
    before = store.aliases("voice")
    change = store.set_alias("voice", "stable", version)
    assert (change.from_version, change.to_version, store.generation()) == (version, version, 2)
    assert store.aliases("voice") == before


def test_each_rollback_goes_one_version_further_back(store, store_base):
    """Each rollback points stable one version further back, until none is left."""
    versions = [publish(store, store_base, seed=seed) for seed in range(3)]
    change = store.rollback("voice")
    assert (change.from_version, change.to_version) == (versions[2], versions[1])
    assert store.rollback("voice").to_version == versions[0]
    with pytest.raises(UnknownVersion, match="no earlier version"):
        store.rollback("voice")
    assert store.aliases("voice").version("stable") == versions[0]


def test_an_alias_must_point_at_an_existing_version(store, store_base):
    """Pointing an alias at an unknown version, or in an unknown domain, is refused and changes nothing."""
    publish(store, store_base)
    with pytest.raises(UnknownVersion, match="no version 9-0123456789ab"):
        store.set_alias("voice", "canary", "9-0123456789ab", 0.5)
    with pytest.raises(UnknownDomain, match="no domain 'video'"):
        store.set_alias("video", "stable", "9-0123456789ab")
    with pytest.raises(UnknownDomain):
        store.rollback("video")
    assert store.generation() == 1


def test_threads_that_publish_at_once_all_succeed(store, store_base):
    """Concurrent publishers in one process get distinct numbers, and every change is counted."""
    publication = make_publication(store_base, golden_lists=())
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: store.publish(publication, set_stable=True), range(8)))
    assert sorted(versions) == store.versions("voice")
    assert len(set(versions)) == 8
    assert store.generation() == 8
    assert len(store.aliases("voice").history) == 8


def test_processes_that_publish_at_once_all_succeed(store, publication):
    """Concurrent publishers in two processes get distinct numbers, and every change is counted."""
    context = multiprocessing.get_context("spawn")
    is_ready = context.Event()
    other = context.Process(target=publish_often, args=(store.url, publication, is_ready, _NUM_VERSIONS))
    other.start()
    assert is_ready.wait(120)
    for _ in range(_NUM_VERSIONS):
        store.publish(publication, set_stable=True)
    other.join(120)
    assert other.exitcode == 0
    numbers = [int(version.partition("-")[0]) for version in store.versions("voice")]
    assert numbers == list(range(1, 2 * _NUM_VERSIONS + 1))
    assert store.generation() == len(store.aliases("voice").history) == 2 * _NUM_VERSIONS


def test_a_version_can_be_added_to_another_store(store, publication, tmp_path):
    """A version added to another store keeps its id; adding it again changes at most alias and generation."""
    version = store.publish(publication, set_stable=True)
    files = store.read_files("voice", version)
    other = Store(str(tmp_path / "other"))
    assert other.add(files, set_stable=False).version == version
    assert dict(other.read_files("voice", version)) == dict(files)
    assert other.aliases("voice").by_name == {}
    other.add(files, set_stable=False)
    assert other.generation() == 2
    other.add(files, set_stable=True)
    assert other.aliases("voice").version("stable") == version
    assert other.publish(publication, set_stable=False).startswith("2-")
