"""Table 8 from a tiny base to its page: training, comparison, and comparison of seeds."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import table8
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.text import TextNormalization
from study.harness.cell import CellContext
from study.harness.records import Records
from study.harness.sizes import SMALL, Counts
from study.harness.workers import do
from study.table8_lora_vs_full.activations import activations, plain_encoder, updated
from study.table8_lora_vs_full.trained import FIGURES
from study.table8_lora_vs_full.updates import adapter_updates, differences, linear_weights, outside_norm
from support.adapters.random_adapters import random_adapter


def test_an_encoder_with_updates_added_computes_what_the_adapter_does(tiny_bert):
    """A plain encoder with B A added to its weights has the hidden states of the served model."""
    base = load_base(str(tiny_bert))
    rows = base.text_encoder.encode(["the old man", "is"], "", TextNormalization(), False)
    adapter = random_adapter(base, 1)
    seen = activations(updated(plain_encoder(base), adapter_updates(adapter)), rows)
    model = RescoringModel(base)
    packed = model.pack(rows)
    with torch.inference_mode():
        served = model.encoder.forward(packed, ((0, packed.num_tokens, adapter),))
    assert torch.allclose(seen.hidden[-1], served, atol=1e-4)
    assert len(seen.hidden) == 1 + len(seen.attention) == 3
    for maps, row in zip(seen.attention[0], rows, strict=True):
        assert maps.shape[1:] == (row.num_tokens, row.num_tokens)
        assert torch.allclose(maps.sum(-1), torch.ones(maps.shape[:2]), atol=1e-5)


def test_what_changed_outside_the_linear_layers_is_counted(tiny_bert):
    """The share is 0 for a change of a linear weight alone, and near 1 after a larger change of the embeddings."""
    before, after = load_base(str(tiny_bert)).encoder, load_base(str(tiny_bert)).encoder
    assert outside_norm(after, before) == 0.0
    weights = linear_weights(before)
    path = next(iter(weights))
    after.get_parameter(f"{path}.weight").data += 0.5
    assert outside_norm(after, before) == 0.0
    changed = differences(linear_weights(after), weights)
    assert [name for name, update in changed.items() if bool(update.any())] == [path]
    after.get_parameter("embeddings.word_embeddings.weight").data += 1.0
    assert 0.9 < outside_norm(after, before) < 1.0


@pytest.fixture(scope="module")
def done(sample, tiny_bert, tmp_path_factory):
    """Two seeds and their comparison: the folder of records and the page."""
    folder = tmp_path_factory.mktemp("table8")
    (folder / "sets" / "librispeech").mkdir(parents=True)
    for part in ("train", "dev"):
        shutil.copy(sample / f"{part}.jsonl.gz", folder / "sets" / "librispeech")
    size = replace(SMALL, base=str(tiny_bert), counts={"librispeech": Counts(24, 12)}, seeds=2, epochs=1)
    records = Records(folder / "results", "table8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table8, "DEV_LISTS", 20)
        patched.setattr(table8, "RATES", {"lora": 0.05, "full": 0.01})
        for cell in table8.cells(size, records):
            context = CellContext(folder / "scratch" / cell.name, folder / "sets", folder / "results")
            outcome = do(cell, context)
            assert outcome.problem == ""
            records.write(cell, outcome.figures, outcome.facts)
        page = table8.page(size, records)
    return folder, records, page


def test_runs_and_measures_are_recorded(done):
    """Each linear layer has a spectrum of each method, LoRA's bounded by its rank; no local path is recorded."""
    folder, records, _ = done
    for seed in range(2):
        [record] = records.find(domain="librispeech", seed=seed)
        spectra = record.figures["weights"]["spectra"]
        assert len(spectra["lora"]) == len(spectra["full"]) == 12
        assert all(0 < site["effective_rank"] <= 8.01 for site in spectra["lora"].values())
        assert all(site["relative_norm"] > 0 for site in spectra["full"].values())
        assert record.figures["activations"]["cka"]["base-full"][-1] < 1.0
        assert str(folder) not in json.dumps([record.figures, record.facts])
        assert (folder / "scratch" / f"librispeech-lora0.05-full0.01-seed{seed}" / "full" / FIGURES).is_file()


def test_the_page_has_every_part_and_a_plot(done):
    """The page and a plot small enough to commit."""
    folder, _, page = done
    for part in ("By layer", "By kind of layer", "Directions", "Word errors by class", "Agreement of rescorers"):
        assert f"## {part}" in page
    assert "| full fine-tuning, two seeds |" in page
    plot = (folder / "results" / "table8.svg").read_text()
    assert plot.startswith("<?xml")
    assert len(plot) < 100_000
