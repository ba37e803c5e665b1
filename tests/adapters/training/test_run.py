"""A run from files to a report and a published version: figures, ranking, and scores before and after publishing."""

import gzip
import json
from dataclasses import replace
from statistics import fmean

import msgspec
import pytest
import torch
from msgspec.structs import asdict

from lorb.errors import NotPublished
from lorb.formats import Notices, read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb.word_errors import word_errors
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import rank
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.files import DataFiles
from lorb_adapters.training.evaluation.cross_fitting import cross_fit
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.golden_lists import NO_GOLDEN_LISTS
from lorb_adapters.training.methods.scoring import score_lists
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.publish import publish
from lorb_adapters.training.report.pages import report_markdown
from lorb_adapters.training.run import run


@pytest.fixture(scope="module")
def finished(tiny_bert, sample):
    files = DataFiles(train=(sample / "dev.jsonl.gz",), dev=(sample / "test.jsonl.gz",))
    config = TrainConfig(lora=LoraConfig(2, 4.0), max_steps=3, lists_per_step=2, learning_rate=1e-2)
    base = load_base(str(tiny_bert))
    return base, run("books", base, files, config, TrainingProgress(quiet=True), command="lorb-train-adapter ...")


def figures_of(breakdown):
    """The fields that a set's breakdown shares with its figures."""
    return {name: getattr(breakdown, name) for name in SetFigures.__struct_fields__}


def dev_evaluation(finished, sample):
    """The run's dev lists, and their evaluation with the scores and the ranking of its result."""
    base, done = finished
    lists = encode_lists(
        read_nbest_lists([sample / "test.jsonl.gz"]), base.text_encoder, done.method.config.normalization,
        uses_context=False,
    )  # fmt: skip
    return lists, evaluate(lists, done.trained.dev_scores, done.report.ranking)


def test_markdown_and_json_have_the_same_figures(finished):
    """report.md shows the figures of report.json, and both are the run's."""
    _, done = finished
    figures = json.loads(done.report.to_json())
    markdown = report_markdown(done.report)
    dev = figures["sets"]["dev"]
    assert f"| dev, as tuned | {dev['utterances']:,} | {dev['words']:,} | {dev['first_pass_wer']:.2f} |" in markdown
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


def test_the_kept_tensors_give_the_reported_dev_figures(finished, sample):
    """The report's dev figures are those of `dev_scores`, and the method holds the tensors that gave these scores."""
    _, done = finished
    lists, again = dev_evaluation(finished, sample)
    assert figures_of(done.report.sets["dev"]) == asdict(again.figures())
    for one, other in zip(done.method.scores(done.trained.tensors, lists[:3]), done.trained.dev_scores, strict=False):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_lists_with_and_without_scores_are_ranked_as_by_the_server(tiny_bert, sample, tmp_path):
    """On dev lists with and without scores the report's errors and posteriors are those of the server's ranking."""
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
    lists = encode_lists(files.read(files.dev, Notices()), base.text_encoder, config.normalization, uses_context=False)
    answers = [
        rank(each.nbest, each.distinct, scores, [False] * len(scores), ranking, RescoreOptions())
        for each, scores in zip(lists, done.trained.dev_scores, strict=True)
    ]
    errors = [
        word_errors(each.nbest.reference, answer[0].transcript) for each, answer in zip(lists, answers, strict=True)
    ]
    assert ranking.weight != ranking.rank_prior.weight
    evaluation = evaluate(lists, done.trained.dev_scores, ranking)
    assert evaluation.rescored.tolist() == errors
    assert figures_of(done.report.sets["dev"]) == asdict(evaluation.figures())
    assert sum(errors) == done.report.sets["dev"].by_depth[-1].rescored_errors
    confidences = [
        max(each.posterior for each in answer)
        for each, answer in zip(lists, answers, strict=True)
        if len(set(each.errors)) > 1
    ]
    assert done.report.calibration.after.confidence == pytest.approx(fmean(confidences))


def test_a_model_scores_the_same_before_it_is_saved_and_after_it_is_loaded(finished, tiny_bert, tmp_path, sample_dev):
    """The trainer's scores before publishing equal those of a freshly loaded base and adapter, to 1e-5."""
    base, done = finished
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))
    version = publish(done, store, force=True, promote=True)
    lists = encode_lists(sample_dev[:20], base.text_encoder, done.publication.normalization, uses_context=False)
    with torch.inference_mode():
        before = list(score_lists(RescoringModel(load_base(str(tiny_bert))), done.publication.weights, lists))
    fresh = load_base(str(tiny_bert))
    adapter = load_adapter(store, "books", version, fresh)
    after = list(score_lists(RescoringModel(fresh), adapter.weights, lists))
    for one, other in zip(before, after, strict=True):
        assert other == pytest.approx(one, rel=1e-5, abs=1e-5)
    assert any(score != 0.0 for one in after for score in one)


def test_the_cross_fitted_figures_decide_on_publication(finished, sample, tmp_path):
    """A run is published if the cross-fitted choices are the oracle's, and not if only those tuned on dev are."""
    _, done = finished
    _, evaluation = dev_evaluation(finished, sample)
    oracle = asdict(replace(evaluation, rescored=evaluation.oracle).figures())
    first_pass = asdict(replace(evaluation, rescored=evaluation.first_pass).figures())
    (tmp_path / "store").mkdir()
    store = Store(str(tmp_path / "store"))

    def run_with(as_tuned, cross_fitted):
        dev = msgspec.structs.replace(done.report.sets["dev"], **as_tuned)
        cross_fit = msgspec.structs.replace(done.report.cross_fit, figures=SetFigures(**cross_fitted))
        return replace(done, report=msgspec.structs.replace(done.report, sets={"dev": dev}, cross_fit=cross_fit))

    with pytest.raises(NotPublished):
        publish(run_with(oracle, first_pass), store, force=False, promote=True)
    published = publish(run_with(first_pass, oracle), store, force=False, promote=True)
    assert store.versions("books") == [published]


def test_dev_is_cross_fitted_over_the_evaluations_of_the_run(finished, sample):
    """The report's cross-fitted figures are those of the scores of the run's own evaluations, with folds by speaker."""
    _, done = finished
    lists, _ = dev_evaluation(finished, sample)
    again = cross_fit(lists, done.trained.evaluation_scores, done.report.ranking.rank_prior)
    assert done.report.cross_fit == again
    assert (again.folds, again.groups) == (5, len({each.nbest.id.split("-")[0] for each in lists}))
    assert again.evaluations == len(done.report.dev)
    assert done.trained.dev_scores in done.trained.evaluation_scores


def test_a_dev_set_without_a_golden_list_is_told(tiny_bert, sample, tmp_path, monkeypatch):
    """If the texts of each dev list have equal word errors, nothing is golden, and one line of the log says so."""
    same = {"id": "1", "ref": "the cat", "hyps": [{"text": "the mat", "score": -1}, {"text": "the hat", "score": -2}]}
    (tmp_path / "dev.jsonl").write_text(json.dumps(same) + "\n")
    files = DataFiles(train=(sample / "dev.jsonl.gz",), dev=(tmp_path / "dev.jsonl",))
    config = TrainConfig(lora=LoraConfig(2, 4.0), max_steps=1, lists_per_step=2)
    progress, lines = TrainingProgress(quiet=True), []
    monkeypatch.setattr(progress, "log", lines.append)
    done = run("books", load_base(str(tiny_bert)), files, config, progress)
    assert done.publication.golden_lists == ()
    assert NO_GOLDEN_LISTS in lines
