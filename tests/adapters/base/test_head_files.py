"""A base's own score head: read from a folder or a hub, and refused in one line where it is broken."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import save_file

from lorb.errors import BaseNotFound
from lorb_adapters.base.head_files import read_head
from lorb_adapters.base.loader import load_base

TENSORS = {"weight": torch.ones(32), "bias": torch.zeros(())}


@pytest.fixture
def folder(tmp_path):
    """A folder with the two files of a head."""
    (tmp_path / "lorb_head.json").write_text(json.dumps({"kind": "sum"}))
    save_file(TENSORS, tmp_path / "lorb_head.safetensors")
    return tmp_path


def refusal(folder):
    """The one line with which the folder's head is refused."""
    with pytest.raises(BaseNotFound) as error:
        read_head(str(folder), 32)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}", "kind is missing"),
        (b"[]", "the top level is"),
        (b'{"kind": ["sum"]}', "kind is"),
        (b'{"kind": "attention"}', "kind is 'attention', not one of sum, mean, cls"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
    ],
)
def test_a_broken_configuration_is_refused(folder, content, problem):
    """Each way to break the JSON file gives a line that names the file and the problem."""
    (folder / "lorb_head.json").write_bytes(content)
    message = refusal(folder)
    assert "lorb_head.json" in message
    assert problem in message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"weight": torch.ones(16)}, "weight has shape (16,), but the base needs (32,)"),
        ({"weight": torch.ones(1, 32)}, "weight has shape (1, 32)"),
        ({"weight": torch.full((32,), torch.nan)}, "weight holds values that are not finite"),
        ({"bias": torch.tensor(torch.inf)}, "bias holds values that are not finite"),
        ({"bias": torch.zeros(2)}, "bias has shape (2,)"),
        ({"weight": torch.ones(32, dtype=torch.int32)}, "not finite floating-point"),
        ({"bias": None}, "bias is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(folder, change, problem):
    """A head of the wrong width, with NaN, of whole numbers or without a bias is an error that names the tensor."""
    tensors = {name: tensor for name, tensor in (TENSORS | change).items() if tensor is not None}
    save_file(tensors, folder / "lorb_head.safetensors")
    assert problem in refusal(folder)


def test_a_torn_file_is_refused(folder):
    """A safetensors file that ends early is an error that names it."""
    content = (folder / "lorb_head.safetensors").read_bytes()
    (folder / "lorb_head.safetensors").write_bytes(content[:20])
    assert "lorb_head.safetensors is not a safetensors file" in refusal(folder)


@pytest.mark.parametrize("missing", ["lorb_head.json", "lorb_head.safetensors"])
def test_half_a_head_is_refused(folder, missing):
    """Each file without the other is an error: the head would be lost in silence."""
    (folder / missing).unlink()
    assert f"{missing} is missing" in refusal(folder)


def test_no_head_is_no_error(tmp_path):
    """A folder without the two files is a base without a head."""
    assert read_head(str(tmp_path), 32) is None


@pytest.fixture
def hub(tiny_bert, tmp_path, monkeypatch):
    """Returns a function that puts the tiny BERT into the hub's cache, offline, as the model `somebody/base`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for module in ("constants", "file_download"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--somebody--base", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return shutil.copytree(tiny_bert, repository / "snapshots" / commit)


def test_a_base_on_a_hub_keeps_its_head(hub):
    """The head beside the encoder of a hub's model is read like that of a folder."""
    (hub / "lorb_head.json").write_text(json.dumps({"kind": "mean"}))
    save_file(TENSORS, hub / "lorb_head.safetensors")
    head = load_base("somebody/base").head
    assert head is not None
    assert (head.kind, head.weight.tolist()) == ("mean", [1.0] * 32)


def test_a_hub_that_cannot_be_asked_is_told(hub, caplog):
    """Offline, without the head's files in the cache, a warning says that a head may be missing."""
    with caplog.at_level(logging.WARNING):
        assert load_base("somebody/base").head is None
    assert "whether it has lorb_head.json is unknown" in caplog.text
    no_file = hub.parents[1] / ".no_exist" / hub.name
    no_file.mkdir(parents=True)
    for name in ("lorb_head.json", "lorb_head.safetensors"):
        (no_file / name).touch()
    caplog.clear()
    assert load_base("somebody/base").head is None
    assert not caplog.text
