"""lorb-build-base --objective pll end to end with tiny bases: results, interruptions and usage errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.pretraining.cli import main
from lorb_adapters.pretraining.staged_trainer import StagedTrainer
from lorb_adapters.pretraining.teacher.teacher import Teacher
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.cli.train_adapter import main as train_adapter
from support.adapters.tiny_bases import make_masked_lm
from support.training.build_commands import command, weights

SCRIPT = Path(__file__).parents[2] / "support/training/forked_training.py"
BUDGETS = ("--objective", "pll", "--sentences", "160", "--teacher-sentences", "60", "--distillation-sentences", "120")


def pll(files, base, place, *more):
    """Arguments for ten steps of masked LM, some teacher passes and eight steps of distillation, all checkpointed."""
    return command(files, base, place, *BUDGETS, *more)


@pytest.fixture(scope="module")
def undisturbed(files, tiny_bert, tmp_path_factory):
    """The output folder of an uninterrupted run."""
    place = tmp_path_factory.mktemp("undisturbed")
    assert main(pll(files, tiny_bert, place)) == 0
    return place


def test_the_base_loads_and_its_scores_behave_like_log_likelihoods(undisturbed, tiny_bert):
    """The base has a sum head whose scores are below 0, and lower for more words."""
    base = load_base(str(undisturbed / "mine"))
    assert base.fingerprint != load_base(str(tiny_bert)).fingerprint
    assert base.head is not None
    assert base.head.kind == "sum"
    rows = base.text_encoder.encode(["the old man", "the old man and the sea"], "", TextNormalization(), False)
    scores = RescoringModel(base).score(rows, [AdapterWeights(LoraConfig(), {}, base.head)], [0, 0])
    assert scores[1] < scores[0] < 0


def test_the_report_shows_stages_teacher_and_student(undisturbed):
    """The report has budgets and times by stage, the losses of both training loops, preferred pairs and dev."""
    report = json.loads((undisturbed / "mine" / "report.json").read_text())
    assert report["config"]["objective"] == "pll"
    assert list(report["cost"]["stage_seconds"]) == ["masked LM", "teacher", "distillation"]
    assert report["cost"]["steps"] == 18
    assert {name for step in report["losses"] for name in step["losses"]} == {"masked LM", "distillation"}
    fidelity = report["fidelity"]
    assert (fidelity["num_learnt"], fidelity["num_hypotheses"]) == (60, 30)
    assert fidelity["pairs"] >= 1
    assert fidelity["teacher_pairs"] <= fidelity["pairs"]
    assert 1 < fidelity["pseudo_perplexity"] < 400
    assert report["dev"]["oracle_wer"] <= report["dev"]["rescored_wer"]
    markdown = (undisturbed / "mine" / "report.md").read_text()
    assert "| stage teacher | 60 sentences, " in markdown
    assert "true sentence preferred by the student" in markdown


def test_an_untrained_head_starts_at_the_token_frequencies(undisturbed):
    """The first loss is that of the token frequencies, far below the log of the vocabulary size."""
    losses = json.loads((undisturbed / "mine" / "report.json").read_text())["losses"]
    assert losses[0]["total"] < 5.5 < 5.99  # log 400


@pytest.mark.parametrize("stage", ["masked LM", "teacher", "distillation"])
def test_an_interrupt_in_any_stage_and_resume_give_the_same_base(
    undisturbed, files, tiny_bert, tmp_path, monkeypatch, capsys, stage
):
    """A stage that was interrupted resumes from its last checkpoint, and the base is the same bit for bit."""
    calls = 0

    def count():
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if stage == "teacher":
            score = Teacher._score
            patched.setattr(Teacher, "_score", lambda self, copies: (count(), score(self, copies))[1])
        else:
            step = StagedTrainer._step
            patched.setattr(
                StagedTrainer,
                "_step",
                lambda self, of, *rest: (count() if of.name == stage else None, step(self, of, *rest))[1],
            )
        assert main(pll(files, tiny_bert, tmp_path)) == 130
    assert "repeat the command with --resume to continue" in capsys.readouterr().err
    assert main(pll(files, tiny_bert, tmp_path, "--resume")) == 0
    assert weights(tmp_path) == weights(undisturbed)
    ours, theirs = (json.loads((p / "mine" / "report.json").read_text()) for p in (tmp_path, undisturbed))
    assert [ours[name] for name in ("losses", "fidelity", "dev")] == [
        theirs[name] for name in ("losses", "fidelity", "dev")
    ]


def test_the_base_can_be_trained_further_by_mwer(undisturbed, files, tmp_path):
    """lorb-train-adapter --method full continues from the base's encoder and head, and writes another base."""
    arguments = [
        "--domain", "pooled", "--method", "full", "--base", str(undisturbed / "mine"), "--train",
        str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"), "--output-base", str(tmp_path / "pooled"),
        "--run-dir", str(tmp_path / "run"), "--max-steps", "2", "--threads", "1", "--quiet",
    ]  # fmt: skip
    assert train_adapter(arguments) == 0
    before, after = load_base(str(undisturbed / "mine")), load_base(str(tmp_path / "pooled"))
    assert before.fingerprint != after.fingerprint
    assert torch.allclose(before.head.weight, after.head.weight, atol=0.01)


def test_a_run_stopped_after_training_only_measures_and_writes(undisturbed, files, tiny_bert, tmp_path, monkeypatch):
    """A run stopped after the last stage resumes without a training step."""
    with monkeypatch.context() as patched:
        patched.setattr("lorb_adapters.pretraining.build._measure_dev", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(pll(files, tiny_bert, tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(StagedTrainer, "_step", lambda *_: 1 / 0)
        assert main(pll(files, tiny_bert, tmp_path, "--resume")) == 0
    assert weights(tmp_path) == weights(undisturbed)


def test_a_run_killed_again_and_again_ends_the_same_to_the_bit(undisturbed, files, tiny_bert, tmp_path):
    """After four kills, each some checkpoints later, the base equals that of an uninterrupted run."""
    done = subprocess.run(  # noqa: S603 - our own script
        [
            sys.executable,
            str(SCRIPT),
            "kills",
            json.dumps(pll(files, tiny_bert, tmp_path)),
            str(tmp_path / "run"),
            "5",
            "4",
        ],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [-9, -9, -9, -9, 0], done.stderr
    assert weights(tmp_path) == weights(undisturbed)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_a_masked_lm_checkpoint_needs_no_masked_lm_training(family, files, tmp_path):
    """With --sentences 0 the checkpoint's head is the teacher's; with --head cls the base has a cls head."""
    folder = make_masked_lm(tmp_path / "checkpoint", family)
    assert main(pll(files, folder, tmp_path, "--sentences", "0", "--head", "cls")) == 0
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["cost"]["steps"] == 8
    base = load_base(str(tmp_path / "mine"))
    assert base.head is not None
    assert base.head.kind == "cls"
    assert torch.isfinite(base.head.weight).all()


def test_another_masked_lm_head_is_another_run(files, tmp_path, capsys, monkeypatch):
    """Resuming with another masked-LM head is refused, and the error names the head."""
    folder = make_masked_lm(tmp_path / "checkpoint", "bert")
    with monkeypatch.context() as patched:
        patched.setattr("lorb_adapters.pretraining.build._measure_dev", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(pll(files, folder, tmp_path))
    monkeypatch.setattr(
        "lorb_adapters.pretraining.objectives.masked_lm_head.MaskedLmHead.digest", property(lambda self: "other")
    )
    assert main(pll(files, folder, tmp_path, "--resume")) == 2
    assert "masked_lm_head was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--sentences", "-1"], "sentences is -1: it must be 0 or more"),
        (["--sentences", "0"], "has no masked-LM head: give sentences to train a head on"),
        (["--teacher-sentences", "0"], "teacher-sentences is 0: it must be 1 or more"),
        (["--distillation-sentences", "0"], "distillation-sentences is 0: it must be 1 or more"),
        (["--masked-share", "0"], "masked-share is 0.0: it must be a number above 0, up to 0.5"),
        (["--hypothesis-share", "1.5"], "hypothesis-share is 1.5: it must be a number from 0 to 1"),
        (["--objective", "replaced", "--head", "cls"], "head is cls: it must be sum with objective replaced"),
        (["--learning-rate", "1e30"], "is not finite"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(files, tiny_bert, tmp_path, capsys, flags, reason):
    """A wrong value is refused by name with exit status 2, and nothing is written."""
    assert main(pll(files, tiny_bert, tmp_path, *flags)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error
    assert not (tmp_path / "mine").exists()
