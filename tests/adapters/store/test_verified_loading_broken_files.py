"""lorb_adapters.store.verified_loading on broken files."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
from safetensors.torch import load, save

from lorb.errors import InvalidAdapter
from lorb_adapters.store.verified_loading import load_adapter

LORA, HEAD, CONFIG = "adapter_model.safetensors", "head.safetensors", "adapter_config.json"
MODULE = "base_model.model.encoder.layer.1.attention.self.query"


@pytest.fixture
def folder(store, version) -> Path:
    """The version's folder."""
    return Path(store.url) / "voice/versions" / version


def forge(folder: Path, file: str, content: bytes) -> None:
    """Changes a file and its sha256 in the manifest, so that only the file's content is wrong."""
    (folder / file).write_bytes(content)
    edit_manifest(folder, lambda manifest: manifest["file_sha256"].update({file: hashlib.sha256(content).hexdigest()}))


def edit_manifest(folder: Path, edit) -> None:
    """Changes the manifest's JSON in place."""
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_tensors(folder: Path, file: str, edit) -> None:
    """Changes a file's tensors in place, and its sha256 in the manifest."""
    tensors = load((folder / file).read_bytes())
    edit(tensors)
    forge(folder, file, save(tensors))


@pytest.mark.parametrize("file", [LORA, HEAD, CONFIG, "report.md", "report.json"])
def test_a_truncated_file_is_named(store, version, folder, store_base, file):
    """A truncated file is refused by name."""
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    with pytest.raises(InvalidAdapter, match=f"{file} is truncated or changed"):
        load_adapter(store, "voice", version, store_base)


def test_a_truncated_manifest_is_named(store, version, folder, store_base):
    """A truncated manifest is refused by name."""
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:200])
    with pytest.raises(InvalidAdapter, match=r"manifest\.json is not JSON"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("file", [LORA, HEAD])
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 64, (1 << 60).to_bytes(8, "little") + b"{}", pickle.dumps({"a": 1})],
    ids=["empty", "zeros", "endless header", "pickle"],
)
def test_a_file_that_is_not_safetensors_is_named(store, version, folder, store_base, file, content):
    """A weights file with a correct sha256 that is not safetensors is refused by name."""
    forge(folder, file, content)
    with pytest.raises(InvalidAdapter, match=f"{file} is not a safetensors file"):
        load_adapter(store, "voice", version, store_base)


def test_a_truncated_safetensors_file_with_a_correct_sha256_is_named(store, version, folder, store_base):
    """A weights file that was truncated before it was hashed is refused by name."""
    forge(folder, LORA, (folder / LORA).read_bytes()[:-100])
    with pytest.raises(InvalidAdapter, match=f"{LORA} is not a safetensors file"):
        load_adapter(store, "voice", version, store_base)


def test_a_pickle_beside_the_weights_is_refused_by_name(store, version, folder, store_base):
    """A version with peft's older pickle file is refused, and the file is named."""
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InvalidAdapter, match=r"'adapter_model\.bin' does not belong in a version"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize(
    ("file", "key"), [(LORA, f"{MODULE}.lora_A.weight"), (LORA, f"{MODULE}.lora_B.weight"), (HEAD, "weight")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(store, version, folder, store_base, file, key, value):
    """One NaN or infinity in a tensor is refused, and the tensor is named."""
    edit_tensors(folder, file, lambda tensors: tensors[key].view(-1)[3:4].fill_(value))
    with pytest.raises(InvalidAdapter, match=f"{file}: {key} "):
        load_adapter(store, "voice", version, store_base)


def test_a_missing_or_unknown_tensor_is_named(store, version, folder, store_base):
    """A missing or unknown tensor is refused by name."""
    key = f"{MODULE}.lora_A.weight"
    edit_tensors(folder, LORA, lambda tensors: tensors.update({"pooler.weight": tensors[key].clone()}))
    with pytest.raises(InvalidAdapter, match=r"pooler\.weight"):
        load_adapter(store, "voice", version, store_base)
    edit_tensors(folder, LORA, lambda tensors: (tensors.pop("pooler.weight"), tensors.pop(key)))
    with pytest.raises(InvalidAdapter, match=f"{key} is missing"):
        load_adapter(store, "voice", version, store_base)


def test_a_wrong_shape_is_named(store, version, folder, store_base):
    """A tensor whose shape does not fit the base's layer is refused by name."""
    key = f"{MODULE}.lora_B.weight"
    edit_tensors(folder, LORA, lambda tensors: tensors.update({key: tensors[key][:-1].contiguous()}))
    with pytest.raises(InvalidAdapter, match=f"{key} has shape"):
        load_adapter(store, "voice", version, store_base)


def test_weights_of_another_digest_are_refused(store, version, folder, store_base):
    """Valid weights whose digest is not the manifest's are refused."""
    edit_tensors(folder, LORA, lambda tensors: tensors[f"{MODULE}.lora_A.weight"].mul_(1.01))
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_changed_scaling_is_refused(store, version, folder, store_base):
    """A changed alpha in the configuration is refused by the weights' digest."""
    config = json.loads((folder / CONFIG).read_text()) | {"lora_alpha": 64}
    forge(folder, CONFIG, json.dumps(config).encode())
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_head_of_another_kind_is_refused(store, version, folder, store_base):
    """A changed head kind in the manifest is refused by the weights' digest."""
    edit_manifest(folder, lambda manifest: manifest.update(head_kind="mean"))
    with pytest.raises(InvalidAdapter, match="weights_digest"):
        load_adapter(store, "voice", version, store_base)


def test_a_digest_that_is_not_the_versions_is_refused(store, version, folder, store_base):
    """A manifest whose digest does not match the version's id is refused."""
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
    """An option of peft that LoRB does not support is refused by name."""
    config = json.loads((folder / CONFIG).read_text()) | change
    forge(folder, CONFIG, json.dumps(config).encode())
    with pytest.raises(InvalidAdapter, match=f"adapter_config.json: {key} "):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("content", [b"[]", b"{", b"null"])
def test_a_configuration_that_is_not_an_object_is_named(store, version, folder, store_base, content):
    """A configuration that is not a JSON object is refused by name."""
    forge(folder, CONFIG, content)
    with pytest.raises(InvalidAdapter, match=r"adapter_config\.json"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("change", ["unlisted", "absent"])
def test_files_and_manifest_must_list_each_other(store, version, folder, store_base, change):
    """A file that the manifest does not list, and a listed file that is missing, are refused by name."""
    if change == "unlisted":
        edit_manifest(folder, lambda manifest: manifest["file_sha256"].pop("report.md"))
    else:
        (folder / "report.md").unlink()
    with pytest.raises(InvalidAdapter, match=r"report\.md is"):
        load_adapter(store, "voice", version, store_base)


def test_a_newer_manifest_says_to_upgrade(store, version, folder, store_base):
    """A version with a manifest of a newer schema is refused with the advice to upgrade LoRB."""
    edit_manifest(folder, lambda manifest: manifest.update(schema_version=2))
    with pytest.raises(InvalidAdapter, match="upgrade LoRB"):
        load_adapter(store, "voice", version, store_base)


@pytest.mark.parametrize("file", [LORA, HEAD])
def test_a_file_of_countless_tensors_is_named(store, version, folder, store_base, file):
    """A file with 800,000 tensors is refused by name before its header is parsed."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"{number:x}": entry for number in range(800_000)}).encode()
    forge(folder, file, len(header).to_bytes(8, "little") + header)
    with pytest.raises(InvalidAdapter, match=f"^{file}: its header is larger than"):
        load_adapter(store, "voice", version, store_base)
