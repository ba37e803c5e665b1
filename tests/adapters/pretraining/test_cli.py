"""lorb-build-base end to end on real text with tiny bases: results, interruptions and usage errors."""

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
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.cli.train_adapter import main as train_adapter
from lorb_adapters.training.run_folder import RunFolder
from support.training.build_commands import command, weights

SCRIPT = Path(__file__).parents[2] / "support/training/forked_training.py"


@pytest.fixture(scope="module")
def undisturbed(files, tiny_bert, tmp_path_factory):
    """The output folder of an uninterrupted run."""
    place = tmp_path_factory.mktemp("undisturbed")
    assert main(command(files, tiny_bert, place)) == 0
    return place


def test_the_base_loads_with_a_trained_sum_head(undisturbed, tiny_bert):
    """The written base has another fingerprint, a sum head, and scores that differ between texts."""
    base = load_base(str(undisturbed / "mine"))
    assert base.fingerprint != load_base(str(tiny_bert)).fingerprint
    assert base.head is not None
    assert base.head.kind == "sum"
    rows = base.text_encoder.encode(["the old man", "the old men was"], "", TextNormalization(), False)
    scores = RescoringModel(base).score(rows, [AdapterWeights(LoraConfig(), {}, base.head)], [0, 0])
    assert torch.isfinite(scores).all()
    assert scores[0] != scores[1]


def test_all_files_have_the_same_permissions(undisturbed):
    """All files of the base have the permissions of the umask, so that a server of another user can load them."""
    modes = {file.name: file.stat().st_mode & 0o777 for file in (undisturbed / "mine").iterdir()}
    assert set(modes.values()) == {modes["config.json"]}


def test_the_report_has_everything_to_repeat_the_run(undisturbed, files):
    """The base's report has command, seed, digests, counts, cost, detection figures and dev figures."""
    report = json.loads((undisturbed / "mine" / "report.json").read_text())
    assert report["command"].startswith("lorb-build-base --text")
    assert report["config"]["seed"] == 0
    assert set(report["data_sha256"]) == {"text.txt", "train.jsonl", "dev.jsonl"}
    assert report["cost"]["steps"] == 20
    assert report["cost"]["tokens"] > 310 * 3
    assert report["counts"]["confusions counted"] > 0
    assert report["counts"]["dev lists"] == 30
    assert report["detection"]["words"] > 0
    assert report["dev"]["oracle_wer"] <= report["dev"]["rescored_wer"]
    markdown = (undisturbed / "mine" / "report.md").read_text()
    assert report["command"] in markdown
    assert "| 30 |" in markdown


def test_training_lowers_the_loss(undisturbed):
    """The loss starts at log 2, where every token scores 0, and falls."""
    losses = [step["total"] for step in json.loads((undisturbed / "mine" / "report.json").read_text())["losses"]]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert sum(losses[-10:]) / 10 < losses[0] - 0.001


def test_the_same_seed_gives_the_same_base_and_another_seed_another(undisturbed, files, tiny_bert, tmp_path):
    """Equal seeds give equal encoder and head files, another seed gives others."""
    for name in ("again", "other"):
        (tmp_path / name).mkdir()
    assert main(command(files, tiny_bert, tmp_path / "again")) == 0
    assert weights(tmp_path / "again") == weights(undisturbed)
    assert main(command(files, tiny_bert, tmp_path / "other", "--seed", "1")) == 0
    assert weights(tmp_path / "other") != weights(undisturbed)


def test_a_roberta_and_a_text_alone_are_enough(files, tiny_roberta, tmp_path):
    """A RoBERTa base with its byte-level tokenizer trains on a text without lists; dev figures are then absent."""
    arguments = command(files, tiny_roberta, tmp_path)
    for flag in ("--confusions", "--dev"):
        at = arguments.index(flag)
        del arguments[at : at + 2]
    assert main(arguments) == 0
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["dev"] is None
    assert report["counts"]["confusions counted"] == 0
    assert load_base(str(tmp_path / "mine")).head is not None


def test_a_base_of_fewer_layers(files, tiny_bert, tmp_path):
    """With --layers 1 the written base has one layer, and the report says so."""
    assert main(command(files, tiny_bert, tmp_path, "--layers", "1")) == 0
    assert load_base(str(tmp_path / "mine")).encoder.config.num_hidden_layers == 1
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["config"]["num_layers"] == 1
    assert "| the lowest 1 |" in (tmp_path / "mine" / "report.md").read_text()


def test_an_adapter_trains_on_it(undisturbed, files, tmp_path, capsys):
    """lorb-train-adapter accepts the folder as its base."""
    arguments = [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"), "--base",
        str(undisturbed / "mine"), "--max-steps", "1", "--quiet", "--threads", "1", "--run-dir", str(tmp_path / "run"),
        "--dry-run",
    ]  # fmt: skip
    assert train_adapter(arguments) == 0
    assert "Adapter for books" in capsys.readouterr().out


def test_subnormal_numbers_are_flushed_only_while_it_trains(files, tiny_bert, tmp_path, monkeypatch):
    """In the steps every subnormal result is 0: some CPUs compute them much slower. After the command none is 0."""
    original, products = StagedTrainer._step, []

    def step(*arguments):
        products.append(float(torch.tensor([1e-38]) * 0.1))
        return original(*arguments)

    monkeypatch.setattr(StagedTrainer, "_step", step)
    assert main(command(files, tiny_bert, tmp_path)) == 0
    assert set(products) == {0.0}
    assert float(torch.tensor([1e-38]) * 0.1) > 0.0


def test_an_interrupt_shows_how_to_resume_and_resuming_gives_the_same_base(
    undisturbed, files, tiny_bert, tmp_path, monkeypatch, capsys
):
    """An interrupt exits with 130, names folder and --resume, and writes no base; resuming gives the same bits."""
    arguments = command(files, tiny_bert, tmp_path)
    original = StagedTrainer._step

    def step(trainer, stage, optimizer, batch, number):
        if number > 7:
            raise KeyboardInterrupt
        return original(trainer, stage, optimizer, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(StagedTrainer, "_step", step)
        assert main(arguments) == 130
    error = capsys.readouterr().err
    assert "no base was written" in error
    assert f"{tmp_path / 'run'}: repeat the command with --resume" in error
    assert not (tmp_path / "mine").exists()
    assert main(arguments) == 2
    assert "--restart" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--seed", "1"]) == 2
    assert "config.seed was 0 and is 1" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert weights(tmp_path) == weights(undisturbed)


def test_a_run_killed_again_and_again_ends_the_same_to_the_bit(undisturbed, files, tiny_bert, tmp_path):
    """After three kills, each some checkpoints later, the base equals that of an uninterrupted run."""
    done = subprocess.run(  # noqa: S603 - our own script
        [
            sys.executable, str(SCRIPT), "kills", json.dumps(command(files, tiny_bert, tmp_path)),
            str(tmp_path / "run"), "3", "3",
        ],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [-9, -9, -9, 0], done.stderr
    assert weights(tmp_path) == weights(undisturbed)
    assert RunFolder.status(tmp_path / "run") == "finished"
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", ".lock"}


def test_confusions_are_not_counted_on_dev_lists(files, tiny_bert, tmp_path):
    """With one file in both roles no confusion is counted, and all of its lists are left out."""
    assert main(command(files, tiny_bert, tmp_path, "--confusions", str(files / "dev.jsonl"))) == 0
    counts = json.loads((tmp_path / "mine" / "report.json").read_text())["counts"]
    assert counts["confusions counted"] == 0
    assert counts["lists for confusions left out, they stand in dev"] == 30


def truncated_lists(files, place):
    (place / "truncated.jsonl").write_text((files / "dev.jsonl").read_text()[:-40])
    return str(place / "truncated.jsonl")


def test_a_single_dev_list_is_refused(files, tiny_bert, tmp_path, capsys):
    """One dev list cannot be split in halves, and is refused before training."""
    (tmp_path / "one.jsonl").write_text((files / "dev.jsonl").read_text().splitlines()[0] + "\n")
    assert main(command(files, tiny_bert, tmp_path, "--dev", str(tmp_path / "one.jsonl"))) == 2
    assert "dev has only one list" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--confusions", "--dev"])
def test_a_truncated_list_is_reported_with_file_and_line(files, tiny_bert, tmp_path, capsys, flag):
    """A truncated list exits with 2 and one line that names file and line number."""
    assert main(command(files, tiny_bert, tmp_path, flag, truncated_lists(files, tmp_path))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "truncated.jsonl:30: " in error


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--text", "/nowhere/text.txt"], "/nowhere/text.txt"),
        (["--base", "/nowhere/base"], "base '/nowhere/base' cannot be loaded"),
        (["--dev", "/nowhere/dev.jsonl"], "/nowhere/dev.jsonl"),
        (["--sentences", "0"], "sentences is 0"),
        (["--sentences-per-step", "0"], "sentences-per-step is 0"),
        (["--layers", "0"], "layers is 0"),
        (["--layers", "3"], "layers is 3: base"),
        (["--min-words", "60"], "max-words is 50: it must be min-words or more"),
        (["--min-words", "300", "--max-words", "400"], "the text has 0 sentences"),
        (["--corrupted-share", "0.9"], "corrupted-share is 0.9"),
        (["--confusion-share", "nan"], "confusion-share is nan"),
        (["--learning-rate", "nan"], "learning-rate is nan"),
        (["--learning-rate", "1e30"], "is not finite"),
        (["--weight-decay", "-1"], "weight-decay is -1"),
        (["--output-base", "/dev/null/mine"], "output-base /dev/null/mine cannot be created"),
        (["--output-base", "/usr"], "output-base /usr exists and is not empty"),
        (["--run-dir", "/dev/null/run"], "run-dir /dev/null/run cannot be created"),
        (["--resume"], "holds no run to resume"),
        (["--threads", "-1"], "threads is -1"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--checkpoint-seconds", "nan"], "checkpoint-seconds is nan"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(files, tiny_bert, tmp_path, capsys, flags, reason):
    """A wrong value is refused by name with exit status 2, and nothing is written."""
    assert main(command(files, tiny_bert, tmp_path, *flags)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error
    assert not (tmp_path / "mine").exists()
