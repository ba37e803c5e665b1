"""lorb_adapters.loading: whatever is wrong with a version is found out, and named."""

import copy
import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from lorb.errors import ForeignBase, InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.loading import check_golden, load_adapter
from lorb_adapters.lora import adapter_state_dict
from lorb_adapters.manifest import GoldenList
from lorb_adapters.model import RescoringModel
from lorb_adapters.store import Store
from lorb_adapters.version_files import render_version
from publications import golden_list, make_publication, random_weights

LORA, HEAD, CONFIG = "adapter_model.safetensors", "head.safetensors", "adapter_config.json"
SITE = "base_model.model.encoder.layer.1.attention.self.query"


@pytest.fixture(scope="module")
def publication(store_base):
    """A whole publication, golden list included."""
    return make_publication(store_base)


@pytest.fixture
def store(tmp_path) -> Store:
    """A store in a folder that does not exist yet."""
    return Store(str(tmp_path / "store"))


@pytest.fixture
def version(store, publication) -> str:
    """The id of the one published version."""
    return store.publish(publication, set_stable=True)


@pytest.fixture
def folder(store, version) -> Path:
    """Where the version's files lie."""
    return Path(store.url) / "voice/versions" / version


def forge(folder: Path, file: str, content: bytes) -> None:
    """Changes a file and the manifest's sha256 of it, so that only what is in the file can give it away."""
    (folder / file).write_bytes(content)
    edit_manifest(folder, lambda manifest: manifest["file_sha256"].update({file: hashlib.sha256(content).hexdigest()}))


def edit_manifest(folder: Path, edit) -> None:
    """Changes the manifest's JSON in place."""
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_tensors(folder: Path, file: str, edit) -> None:
    """Changes a file's tensors in place, and the manifest's sha256 of it."""
    tensors = load((folder / file).read_bytes())
    edit(tensors)
    forge(folder, file, save(tensors))


def test_a_good_version_loads_as_it_was_published(store, version, publication, store_base):
    """Weights, scores and identity are those of the publication."""
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)
    published = adapter_state_dict(publication.weights)
    assert adapter.ref.version == version
    assert adapter.ref.digest.startswith(version.partition("-")[2])
    assert adapter.weights.config == publication.weights.config
    for key, tensor in adapter_state_dict(adapter.weights).items():
        assert torch.equal(tensor, published[key])
    assert torch.equal(adapter.weights.head.weight, publication.weights.head.weight)


def test_a_base_whose_layers_are_wrapped_already_loads_too(store, version, store_base):
    """The server loads while its model has taken the encoder over."""
    model = RescoringModel(store_base)
    check_golden(load_adapter(store, "voice", version, store_base), model, store_base.text_encoder)


@pytest.mark.parametrize("file", [LORA, HEAD, CONFIG, "report.md", "report.json"])
def test_a_torn_file_is_named(store, version, folder, store_base, file):
    """A file that ends too early, as after a broken copy, is refused by name."""
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    with pytest.raises(InvalidAdapter, match=f"{file} is torn or changed"):
        load_adapter(store, "voice", version, store_base)


def test_a_torn_manifest_is_named(store, version, folder, store_base):
    """Half a manifest is refused by name."""
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:200])
    with pytest.raises(InvalidAdapter, match=r"manifest\.json is not JSON"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("file", [LORA, HEAD])
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 64, (1 << 60).to_bytes(8, "little") + b"{}", pickle.dumps({"a": 1})],
    ids=["empty", "zeros", "endless header", "pickle"],
)
def test_what_is_not_safetensors_is_named(store, version, folder, store_base, file, content):
    """Bytes under the right name with the right sha256 are still not weights."""
    forge(folder, file, content)
    with pytest.raises(InvalidAdapter, match=f"{file} is not a safetensors file"):
        load_adapter(store, "voice", version, store_base)


def test_a_torn_safetensors_with_a_right_sha256_is_named(store, version, folder, store_base):
    """A file that was torn before it was hashed is refused too."""
    forge(folder, LORA, (folder / LORA).read_bytes()[:-100])
    with pytest.raises(InvalidAdapter, match=f"{LORA} is not a safetensors file"):
        load_adapter(store, "voice", version, store_base)


def test_a_pickle_beside_the_weights_is_refused_by_name(store, version, folder, store_base):
    """The older format of peft is never read, not even looked at."""
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InvalidAdapter, match=r"'adapter_model\.bin' has no place"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize(
    ("file", "key"), [(LORA, f"{SITE}.lora_A.weight"), (LORA, f"{SITE}.lora_B.weight"), (HEAD, "weight")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(store, version, folder, store_base, file, key, value):
    """One NaN or infinity in any tensor is refused, and the tensor is named."""
    edit_tensors(folder, file, lambda tensors: tensors[key].view(-1)[3:4].fill_(value))
    with pytest.raises(InvalidAdapter, match=f"{file}: {key} "):
        load_adapter(store, "voice", version, store_base)


def test_a_missing_or_foreign_key_is_named(store, version, folder, store_base):
    """Tensors that should be there and are not, or should not and are, are refused by name."""
    key = f"{SITE}.lora_A.weight"
    edit_tensors(folder, LORA, lambda tensors: tensors.update({"pooler.weight": tensors[key].clone()}))
    with pytest.raises(InvalidAdapter, match=r"pooler\.weight"):
        load_adapter(store, "voice", version, store_base)
    edit_tensors(folder, LORA, lambda tensors: (tensors.pop("pooler.weight"), tensors.pop(key)))
    with pytest.raises(InvalidAdapter, match=f"{key} is missing"):
        load_adapter(store, "voice", version, store_base)


def test_a_wrong_shape_is_named(store, version, folder, store_base):
    """A tensor of another size than the base's layer is refused by name."""
    key = f"{SITE}.lora_B.weight"
    edit_tensors(folder, LORA, lambda tensors: tensors.update({key: tensors[key][:-1].contiguous()}))
    with pytest.raises(InvalidAdapter, match=f"{key} has shape"):
        load_adapter(store, "voice", version, store_base)


def test_weights_of_another_digest_are_refused(store, version, folder, store_base):
    """Good weights that are not those that the version is named after are refused."""
    edit_tensors(folder, LORA, lambda tensors: tensors[f"{SITE}.lora_A.weight"].mul_(1.01))
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_scaling_that_was_changed_is_refused(store, version, folder, store_base):
    """The configuration is part of what the digest names."""
    config = json.loads((folder / CONFIG).read_text()) | {"lora_alpha": 64}
    forge(folder, CONFIG, json.dumps(config).encode())
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_head_of_another_kind_is_refused(store, version, folder, store_base):
    """So is the head's kind."""
    edit_manifest(folder, lambda manifest: manifest.update(head_kind="mean"))
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_digest_that_is_not_the_versions_is_refused(store, version, folder, store_base):
    """A manifest whose digest the version's name does not end with is refused."""
    edit_manifest(folder, lambda manifest: manifest.update(weights_digest="0" * 64))
    with pytest.raises(InvalidAdapter, match="weights_digest is 000000000000"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"use_dora": True}, "use_dora"),
        ({"target_modules": ".*"}, "target_modules"),
        ({"target_modules": ["embeddings"]}, "target_modules"),
        ({"modules_to_save": ["classifier"]}, "modules_to_save"),
        ({"auto_mapping": {"parent_library": "os"}}, "auto_mapping"),
        ({"r": "8"}, "r"),
    ],
)
def test_a_configuration_beyond_plain_lora_is_refused_by_key(store, version, folder, store_base, change, key):
    """Options of peft that LoRB does not compute, or must not obey, are refused by name."""
    config = json.loads((folder / CONFIG).read_text()) | change
    forge(folder, CONFIG, json.dumps(config).encode())
    with pytest.raises(InvalidAdapter, match=f"adapter_config.json: {key} "):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("content", [b"[]", b"{", b"null"])
def test_a_configuration_that_is_no_object_is_named(store, version, folder, store_base, content):
    """A configuration that is JSON of another kind, or none, is refused by name."""
    forge(folder, CONFIG, content)
    with pytest.raises(InvalidAdapter, match=r"adapter_config\.json"):
        load_adapter(store, "voice", version, store_base)


def test_another_base_is_refused_by_name(store, version, publication, store_base):
    """An adapter made for another base says for which, and which this is."""
    other = replace(store_base, name="other-base", fingerprint="e" * 64)
    with pytest.raises(ForeignBase) as caught:
        load_adapter(store, "voice", version, other)
    for part in (publication.base_name, publication.base_fingerprint[:12], "other-base", "e" * 12):
        assert part in str(caught.value)


def test_a_base_without_the_layers_is_refused(store, version, store_base):
    """A base that claims the fingerprint but has no such layers is refused, not a crash."""
    empty = replace(store_base, encoder=torch.nn.Identity())
    with pytest.raises(InvalidAdapter, match="no layer named"):
        load_adapter(store, "voice", version, empty)


@pytest.mark.parametrize("change", ["unlisted", "absent"])
def test_files_and_manifest_must_tell_of_each_other(store, version, folder, store_base, change):
    """A file that the manifest does not list, and a listed one that is not there, are refused by name."""
    if change == "unlisted":
        edit_manifest(folder, lambda manifest: manifest["file_sha256"].pop("report.md"))
    else:
        (folder / "report.md").unlink()
    with pytest.raises(InvalidAdapter, match=r"report\.md is"):
        load_adapter(store, "voice", version, store_base)


def test_a_newer_manifest_says_to_upgrade(store, version, folder, store_base):
    """What a newer LoRB published is refused with what to do."""
    edit_manifest(folder, lambda manifest: manifest.update(schema_version=2))
    with pytest.raises(InvalidAdapter, match="upgrade LoRB"):
        load_adapter(store, "voice", version, store_base)


def test_a_whole_forgery_is_found_by_its_golden_scores(store, store_base, publication):
    """Weights with every digest right but other scores than the trainer's are refused; the list is named."""
    forged = replace(publication, weights=random_weights(store_base, seed=9))
    version = store.publish(forged, set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    with pytest.raises(InvalidAdapter, match=r"golden_lists\[0\] \('utterance-1'\): hypothesis 0 scores"):
        check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_golden_scores_bear_rounding_and_nothing_more(store, store_base, publication):
    """A relative error of 5e-5 passes, one of 5e-4 does not."""
    model = RescoringModel(store_base)
    for error, passes in ((5e-5, True), (5e-4, False)):
        [golden] = publication.golden_lists
        shifted = tuple(score + error * max(map(abs, golden.rescoring_scores)) for score in golden.rescoring_scores)
        changed = replace(publication, golden_lists=(replace(golden, rescoring_scores=shifted),))
        adapter = load_adapter(store, "voice", store.publish(changed, set_stable=True), store_base)
        if passes:
            check_golden(adapter, model, store_base.text_encoder)
        else:
            with pytest.raises(InvalidAdapter, match="golden_lists"):
                check_golden(adapter, model, store_base.text_encoder)


def test_an_adapter_without_golden_lists_loads(store, store_base):
    """A publisher whose lists are private may leave them out."""
    version = store.publish(make_publication(store_base, golden_lists=()), set_stable=True)
    adapter = load_adapter(store, "voice", version, store_base)
    check_golden(adapter, RescoringModel(store_base), store_base.text_encoder)


def test_in_bfloat16_the_order_counts(store, version, publication, store_base):
    """In a coarser dtype the golden order must come out again; a swapped one is refused."""
    coarse = replace(store_base, encoder=copy.deepcopy(store_base.encoder).to(torch.bfloat16), dtype=torch.bfloat16)
    model = RescoringModel(coarse)
    adapter = load_adapter(store, "voice", version, coarse)
    assert next(iter(adapter.weights.lora.values()))[0].dtype == torch.bfloat16
    check_golden(adapter, model, coarse.text_encoder)
    [golden] = publication.golden_lists
    turned = replace(golden, rescoring_scores=tuple(-score for score in golden.rescoring_scores))
    manifest = replace(adapter.manifest, golden_lists=(turned,))
    with pytest.raises(InvalidAdapter, match="no longer scores above"):
        check_golden(replace(adapter, manifest=manifest), model, coarse.text_encoder)


def test_rendering_is_the_same_every_time(publication):
    """The same publication, version and time give the same bytes: what is published can be reproduced."""
    rendered = [render_version(publication, "1-0123456789ab", "2026-01-01T00:00:00+00:00") for _ in range(2)]
    assert rendered[0] == rendered[1]
    assert list(rendered[0])[-1] == "manifest.json"


def test_golden_lists_without_first_pass_scores_work(store, store_base):
    """A list of a recogniser that gives no scores can be golden as well."""
    weights = random_weights(store_base)
    nbest = NBest((Hypothesis("the cat"), Hypothesis("")), id="unscored")
    golden: GoldenList = golden_list(store_base, weights, nbest)
    version = store.publish(make_publication(store_base, weights=weights, golden_lists=(golden,)), set_stable=True)
    check_golden(load_adapter(store, "voice", version, store_base), RescoringModel(store_base), store_base.text_encoder)
