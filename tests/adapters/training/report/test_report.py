"""The report: the same figures for people and for programs, and one seam between trainer and server."""

import gzip
import json
from dataclasses import replace
from statistics import fmean

import pytest
import torch

from lorb.formats import Notices, read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb.word_errors import word_errors
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.weights import LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import rank
from lorb_adapters.store.loading import load_adapter
from lorb_adapters.store.store import Store
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import prepare, score_lists
from lorb_adapters.training.data.reading import DataFiles
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run import publish, run


@pytest.fixture(scope="module")
def finished(tiny_bert, sample):
    files = DataFiles(train=(sample / "dev.jsonl.gz",), dev=(sample / "test.jsonl.gz",))
    config = TrainConfig(lora=LoraConfig(2, 4.0), max_steps=3, lists_per_step=2, learning_rate=1e-2)
    base = load_base(str(tiny_bert))
    return base, run("books", base, files, config, TrainingProgress(quiet=True), command="lorb-train-adapter ...")


def test_both_forms_have_the_same_figures(finished):
    """What the Markdown shows is what the JSON holds."""
    _, done = finished
    figures = json.loads(done.report.to_json())
    markdown = done.report.to_markdown()
    dev = figures["sets"]["dev"]
    assert f"| dev | {dev['utterances']:,} | {dev['words']:,} | {dev['first_pass_wer']:.2f} |" in markdown
    assert (
        f"{figures['parameters']['trained']:,} ({figures['parameters']['trained_percent']:.2f}% of the base)"
        in markdown
    )
    assert figures["cost"]["peak_memory_bytes"] > 2**20
    assert figures["parameters"]["base"] == sum(p.numel() for p in finished[0].encoder.parameters())
    assert [each["step"] for each in figures["losses"]] == [1, 2, 3]
    assert set(figures["losses"][0]["losses"]) == {"mwer", "correlation"}
    assert f"| {dev['mapsswe']['z']:+.2f} | {dev['mapsswe']['p']:.2g} |" in markdown
    for name, row in (("scale_1", "| scale 1 "), ("tuned", "| scale as tuned ")):
        line = next(line for line in markdown.splitlines() if line.startswith(row))
        assert f"{figures['calibration'][name]['expected_calibration_error']:.3f}" in line
    without = dev["without_switching_margin"]
    assert f"| dev | without | {without['rescored_wer']:.2f} " in markdown
    assert figures["ranking"]["switching_margin"] == done.report.ranking.switching_margin
    assert figures["audit"]["sets"]["dev"]["lists"] == dev["utterances"]
    assert done.report.audit.to_markdown() in markdown


def test_a_finished_run_has_dev_scored_by_what_was_kept(finished, sample):
    """Dev's figures in the report are those of its scores, whose tensors the method holds."""
    base, done = finished
    lists = prepare(
        read_nbest_lists([sample / "test.jsonl.gz"]), base.text_encoder, done.report.config.normalization,
        uses_context=False,
    )  # fmt: skip
    again = evaluate(lists, done.trained.dev_scores, done.report.ranking)
    assert again.rescored.tolist() == done.report.sets["dev"].rescored.tolist()
    for one, other in zip(done.method.scores(done.trained.tensors, lists[:3]), done.trained.dev_scores, strict=False):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_lists_with_and_without_scores_are_ranked_by_weights_of_their_own(tiny_bert, sample, tmp_path):
    """Of a dev set of both kinds the report tells what the server would answer: errors, and posteriors."""
    with gzip.open(sample / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(next(file)) for _ in range(60)]
    for line in lines[:40]:
        for hypothesis in line["hyps"]:
            hypothesis.pop("score")
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = DataFiles(train=(sample / "dev.jsonl.gz",), dev=(tmp_path / "dev.jsonl",))
    config = TrainConfig(lora=LoraConfig(2, 4.0), max_steps=6, lists_per_step=2, learning_rate=1e-2)
    base = load_base(str(tiny_bert))
    done = run("books", base, files, config, TrainingProgress(quiet=True))
    ranking = done.report.ranking
    lists = prepare(files.read(files.dev, Notices()), base.text_encoder, config.normalization, uses_context=False)
    answers = [
        rank(each.nbest, each.distinct, scores, [False] * len(scores), ranking, RescoreOptions())
        for each, scores in zip(lists, done.trained.dev_scores, strict=True)
    ]
    errors = [
        word_errors(each.nbest.reference, answer[0].transcript) for each, answer in zip(lists, answers, strict=True)
    ]
    assert ranking.weight != ranking.rank_prior.weight
    assert done.report.sets["dev"].rescored.tolist() == errors
    assert sum(errors) == done.report.details["dev"].by_depth[-1].rescored_errors
    confidences = [
        max(each.posterior for each in answer)
        for each, answer in zip(lists, answers, strict=True)
        if len(set(each.errors)) > 1
    ]
    assert done.report.calibration.after.confidence == pytest.approx(fmean(confidences))


def test_a_model_scores_the_same_before_it_is_saved_and_after_it_is_loaded(finished, tiny_bert, tmp_path, sample_dev):
    """Trainer's scores before publishing equal those of a freshly loaded base and adapter, to 1e-5."""
    base, done = finished
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    version = publish(done, store, force=True, promote=True)
    lists = prepare(sample_dev[:20], base.text_encoder, done.publication.normalization, uses_context=False)
    with torch.inference_mode():
        before = list(score_lists(RescoringModel(load_base(str(tiny_bert))), done.publication.weights, lists))
    fresh = load_base(str(tiny_bert))
    adapter = load_adapter(store, "books", version, fresh)
    after = list(score_lists(RescoringModel(fresh), adapter.weights, lists))
    for one, other in zip(before, after, strict=True):
        assert other == pytest.approx(one, rel=1e-5, abs=1e-5)
    assert any(score != 0.0 for one in after for score in one)


def test_a_run_that_helps_is_published_without_force(finished, tmp_path):
    """What decides is the share of paired resamples with fewer errors on dev."""
    _, done = finished
    dev = done.report.sets["dev"]
    better = replace(dev, rescored=dev.oracle)
    convinced = replace(done, report=replace(done.report, sets={"dev": better}))
    convinced.check_helps()
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    assert publish(convinced, store, force=False, promote=True) in store.versions("books")
