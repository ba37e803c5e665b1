"""lorb-build-base end to end on real text with tiny bases, its stops, and every mistake a user makes on the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.weights import AdapterWeights, LoraConfig
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
    """Where the command wrote when it was left alone."""
    place = tmp_path_factory.mktemp("undisturbed")
    assert main(command(files, tiny_bert, place)) == 0
    return place


def test_the_base_loads_with_a_head_that_tells_what_it_was_trained_to(undisturbed, tiny_bert):
    """Trainer and server load it: another fingerprint, a sum head, and scores that are not 0."""
    base = load_base(str(undisturbed / "mine"))
    assert base.fingerprint != load_base(str(tiny_bert)).fingerprint
    assert base.head is not None
    assert base.head.kind == "sum"
    rows = base.text_encoder.encode(["the old man", "the old men was"], "", TextNormalization(), False)
    scores = RescoringModel(base).score(rows, [AdapterWeights(LoraConfig(), {}, base.head)], [0, 0])
    assert torch.isfinite(scores).all()
    assert scores[0] != scores[1]


def test_whoever_may_read_one_of_its_files_may_read_all(undisturbed):
    """A server that runs as another user than the trainer can load what the trainer's umask lets it see."""
    modes = {file.name: file.stat().st_mode & 0o777 for file in (undisturbed / "mine").iterdir()}
    assert set(modes.values()) == {modes["config.json"]}


def test_its_report_has_what_makes_it_again(undisturbed, files):
    """Command, seed, digests, counts, cost, detection and dev, in the base's own folder."""
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
    """The loss begins at log 2, where every token scores 0, and falls."""
    losses = [step["total"] for step in json.loads((undisturbed / "mine" / "report.json").read_text())["losses"]]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)
    assert sum(losses[-10:]) / 10 < losses[0] - 0.001


def test_the_same_seed_gives_the_same_base_and_another_seed_another(undisturbed, files, tiny_bert, tmp_path):
    """Bit for bit, encoder and head."""
    for name in ("again", "other"):
        (tmp_path / name).mkdir()
    assert main(command(files, tiny_bert, tmp_path / "again")) == 0
    assert weights(tmp_path / "again") == weights(undisturbed)
    assert main(command(files, tiny_bert, tmp_path / "other", "--seed", "1")) == 0
    assert weights(tmp_path / "other") != weights(undisturbed)


def test_a_roberta_and_a_text_alone_are_enough(files, tiny_roberta, tmp_path):
    """Without lists there are no confusions and no dev figures; a tokenizer of bytes has its words found too."""
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
    """The written base has as many layers as were asked for, and the report says so."""
    assert main(command(files, tiny_bert, tmp_path, "--layers", "1")) == 0
    assert load_base(str(tmp_path / "mine")).encoder.config.num_hidden_layers == 1
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["config"]["num_layers"] == 1
    assert "| the lowest 1 |" in (tmp_path / "mine" / "report.md").read_text()


def test_an_adapter_trains_on_it(undisturbed, files, tmp_path, capsys):
    """lorb-train-adapter takes the folder for its base and begins with its head: not at the first pass."""
    arguments = [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"), "--base",
        str(undisturbed / "mine"), "--max-steps", "1", "--quiet", "--threads", "1", "--run-dir", str(tmp_path / "run"),
        "--dry-run",
    ]  # fmt: skip
    assert train_adapter(arguments) == 0
    assert "Adapter for books" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on_and_going_on_ends_the_same(
    undisturbed, files, tiny_bert, tmp_path, monkeypatch, capsys
):
    """Exit status 130, the folder and --resume named, no base; resumed it ends bit for bit as one left alone."""
    arguments = command(files, tiny_bert, tmp_path)
    whole = StagedTrainer._step

    def step(course, stage, optimizer, batch, number):
        if number > 7:
            raise KeyboardInterrupt
        return whole(course, stage, optimizer, batch, number)

    with monkeypatch.context() as patched:
        patched.setattr(StagedTrainer, "_step", step)
        assert main(arguments) == 130
    error = capsys.readouterr().err
    assert "no base was written" in error
    assert f"{tmp_path / 'run'}: the same command with --resume" in error
    assert not (tmp_path / "mine").exists()
    assert main(arguments) == 2
    assert "--restart" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--seed", "1"]) == 2
    assert "config.seed was 0 and is 1" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert weights(tmp_path) == weights(undisturbed)


def test_a_run_killed_again_and_again_ends_the_same_to_the_bit(undisturbed, files, tiny_bert, tmp_path):
    """Three kills at arbitrary moments, each some checkpoints on: the base is that of a run left alone."""
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


def test_lists_of_dev_teach_no_confusions(files, tiny_bert, tmp_path):
    """The same file in both roles leaves no list to learn from, and none of its references in the text."""
    assert main(command(files, tiny_bert, tmp_path, "--confusions", str(files / "dev.jsonl"))) == 0
    counts = json.loads((tmp_path / "mine" / "report.json").read_text())["counts"]
    assert counts["confusions counted"] == 0
    assert counts["lists for confusions left out, they stand in dev"] == 30


def torn_lists(files, place):
    (place / "torn.jsonl").write_text((files / "dev.jsonl").read_text()[:-40])
    return str(place / "torn.jsonl")


def test_one_dev_list_cannot_be_halved(files, tiny_bert, tmp_path, capsys):
    """It is refused before training, in a line."""
    (tmp_path / "one.jsonl").write_text((files / "dev.jsonl").read_text().splitlines()[0] + "\n")
    assert main(command(files, tiny_bert, tmp_path, "--dev", str(tmp_path / "one.jsonl"))) == 2
    assert "dev is one list" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--confusions", "--dev"])
def test_a_torn_list_is_one_line_with_its_place(files, tiny_bert, tmp_path, capsys, flag):
    """Exit status 2, file and line, no traceback."""
    assert main(command(files, tiny_bert, tmp_path, flag, torn_lists(files, tmp_path))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "torn.jsonl:30: " in error


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
        (["--output-base", "/dev/null/mine"], "output-base /dev/null/mine cannot be made"),
        (["--output-base", "/usr"], "there already and not empty"),
        (["--run-dir", "/dev/null/run"], "run-dir /dev/null/run cannot be made"),
        (["--resume"], "holds no run to resume"),
        (["--threads", "-1"], "threads is -1"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--checkpoint-seconds", "nan"], "checkpoint-seconds is nan"),
    ],
)
def test_a_wrong_value_is_one_line(files, tiny_bert, tmp_path, capsys, flags, reason):
    """A value that cannot work is refused by name with exit status 2, and nothing is written."""
    assert main(command(files, tiny_bert, tmp_path, *flags)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error
    assert not (tmp_path / "mine").exists()
