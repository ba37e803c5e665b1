"""Fixtures of the tests of deltas: a base, the same base changed, and the difference between them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorb_adapters.cli import base_delta as base_delta_cli


@pytest.fixture
def parent(tiny_bert, tmp_path, monkeypatch):
    """A base in a folder, by its relative path."""
    shutil.copytree(tiny_bert, tmp_path / "parent")
    monkeypatch.chdir(tmp_path)
    return "parent"


@pytest.fixture
def changed(parent, tmp_path):
    """The parent with changed layers and a head."""
    folder = shutil.copytree(tmp_path / parent, tmp_path / "changed")
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    for name, tensor in weights.items():
        if name.startswith("encoder."):
            weights[name] = tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "lorb_head.json").write_text(json.dumps({"kind": "sum"}))
    save_file({"weight": torch.ones(32), "bias": torch.zeros(())}, folder / "lorb_head.safetensors")
    return "changed"


@pytest.fixture
def delta(parent, changed, tmp_path):
    """The folder that lorb-base-delta writes for it."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"]) == 0
    return tmp_path / "delta"
