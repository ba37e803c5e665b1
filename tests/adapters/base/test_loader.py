"""Loading a base: from a folder or by its hub id, its fingerprint, its head, and errors that name the reason."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from lorb.errors import BaseNotFound
from lorb_adapters.base.loader import load_base
from support.adapters.tiny_bases import make_masked_lm


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_name_that_is_not_a_folder_is_a_hub_id(tiny_bert, tmp_path, monkeypatch):
    """Such a name is looked up in transformers' cache; offline, a missing model is an error."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BaseNotFound, match="nobody/nothing"):
        load_base("nobody/nothing")
    monkeypatch.chdir(tiny_bert.parent)
    assert load_base(tiny_bert.name).fingerprint == load_base(str(tiny_bert)).fingerprint


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_a_masked_lm_checkpoint_is_a_base(family, tmp_path):
    """The encoder of each family has transformers' weights; the masked-LM head is not part of the base."""
    folder = make_masked_lm(tmp_path, family)
    base, model = load_base(str(folder)), AutoModel.from_pretrained(folder).eval()
    ours, theirs = base.encoder.state_dict(), model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert set(theirs) - set(ours) <= {"pooler.dense.weight", "pooler.dense.bias"}


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_incomplete_folder_is_refused(tiny_bert, tmp_path, missing):
    """Each missing file is a BaseNotFound error that names the base."""
    folder = copied(tiny_bert, tmp_path)
    (folder / missing).unlink()
    with pytest.raises(BaseNotFound, match="cannot be loaded"):
        load_base(str(folder))


def test_the_fingerprint_depends_on_content_only(tiny_bert, tmp_path):
    """A copy and another dtype have the same fingerprint; one weight, setting or vocabulary entry changes it."""
    fingerprint = load_base(str(tiny_bert)).fingerprint
    folder = copied(tiny_bert, tmp_path)
    assert load_base(str(folder), dtype=torch.bfloat16).fingerprint == fingerprint

    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    changed = weights | {name: weights[name] + 1e-3}
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_base(str(folder)).fingerprint != fingerprint

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-6}))
    assert load_base(str(folder)).fingerprint != fingerprint

    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, last = list(vocabulary)[5], list(vocabulary)[-1]
    vocabulary[first], vocabulary[last] = vocabulary[last], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert load_base(str(folder)).fingerprint != fingerprint


def test_a_base_may_carry_its_own_head(tiny_bert, tmp_path):
    """`lorb_head.json` and its tensors beside the encoder are the base's head; an unknown kind is refused."""
    folder = copied(tiny_bert, tmp_path)
    (folder / "lorb_head.json").write_text(json.dumps({"kind": "sum"}))
    save_file({"weight": torch.ones(32), "bias": torch.zeros(())}, folder / "lorb_head.safetensors")
    head = load_base(str(folder)).head
    assert head is not None
    assert head.kind == "sum"
    assert head.weight.tolist() == [1.0] * 32
    (folder / "lorb_head.json").write_text(json.dumps({"kind": "attention"}))
    with pytest.raises(BaseNotFound, match="attention"):
        load_base(str(folder))
