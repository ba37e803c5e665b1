"""Interrupted runs: resumed at any moment they publish the adapter of an uninterrupted run, and publish it once."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lorb_adapters.store.signing import SIGNATURE, create_key_pair
from lorb_adapters.store.store import Store
from lorb_adapters.training import loop
from lorb_adapters.training.cli.train_adapter import main
from lorb_adapters.training.run_folder import RunFolder

SCRIPT = Path(__file__).parents[2] / "support/training/forked_training.py"


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """40 train and 12 dev lists."""
    folder = tmp_path_factory.mktemp("lists")
    for name, count in (("train", 40), ("dev", 12)):
        with gzip.open(sample / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(count)))
    return folder


def command(files, tiny_bert, place, *more):
    """A run of about 50 steps that uses every stateful option and writes a checkpoint after each step."""
    (place / "store").mkdir(parents=True, exist_ok=True)
    return [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"),
        "--base", str(tiny_bert), "--store", str(place / "store"), "--run-dir", str(place / "run"), "--quiet",
        "--threads", "1", "--force", "--checkpoint-seconds", "0", "--lists-per-step", "2", "--epochs", "4",
        "--patience", "0", "--learning-rate", "0.01", "--layers", "1", "--dropout", "0.1", "--ema", "0.9", "--r-drop",
        "0.5", *more,
    ]  # fmt: skip


def published(place):
    """The bytes of the adapter and the report in the store's only version."""
    store = Store(str(place / "store"))
    [version] = store.versions("books")
    content = store.read_files("books", version)
    return content["adapter_model.safetensors"], content["head.safetensors"], json.loads(content["report.json"])


@pytest.fixture(scope="module")
def uninterrupted(files, tiny_bert, tmp_path_factory):
    """The result of the command without interruption."""
    place = tmp_path_factory.mktemp("uninterrupted")
    assert main(command(files, tiny_bert, place)) == 0
    return published(place)


def test_a_run_killed_four_times_gives_the_same_bits(files, tiny_bert, tmp_path, uninterrupted):
    """After four kills at random moments, adapter, head and the report's figures equal the uninterrupted run's."""
    arguments = command(files, tiny_bert, tmp_path)
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT), "kills", json.dumps(arguments), str(tmp_path / "run"), "7", "4"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    statuses = json.loads(done.stdout.splitlines()[-1])
    assert statuses == [-9, -9, -9, -9, 0], done.stderr
    lora, head, report = published(tmp_path)
    assert lora == uninterrupted[0]
    assert head == uninterrupted[1]
    for figures in ("losses", "dev", "sets", "ranking"):
        assert report[figures] == uninterrupted[2][figures]
    assert RunFolder.status(tmp_path / "run") == "finished"
    assert not (tmp_path / "run" / "hidden.bin").exists()


def interrupt_after(monkeypatch, steps):
    """Raises KeyboardInterrupt in the step after `steps` steps."""
    original = loop._Training.step

    def step(self, batch, number, *rest):
        if number > steps:
            raise KeyboardInterrupt
        return original(self, batch, number, *rest)

    monkeypatch.setattr(loop._Training, "step", step)


def test_ctrl_c_names_resume_which_gives_the_same_adapter(
    files, tiny_bert, tmp_path, uninterrupted, monkeypatch, capsys
):
    """Ctrl-C gives status 130 and a hint; the command alone is refused, and --resume publishes the same adapter."""
    arguments = command(files, tiny_bert, tmp_path)
    with monkeypatch.context() as patched:
        interrupt_after(patched, 9)
        assert main(arguments) == 130
    error = capsys.readouterr().err
    assert "nothing was published" in error
    assert str(tmp_path / "run") in error
    assert "--resume" in error
    assert Store(str(tmp_path / "store")).domains() == []
    assert main(arguments) == 2
    assert "--restart" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert published(tmp_path)[:2] == uninterrupted[:2]


def test_a_stop_after_publishing_does_not_publish_twice(files, tiny_bert, tmp_path, monkeypatch):
    """A run stopped between publishing and recording it finds its version on resume, and signs it if asked.

    Another run's version with the same weights and another ranking does not count.
    """
    arguments = command(files, tiny_bert, tmp_path, "--max-steps", "3")
    store = Store(str(tmp_path / "store"))

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "end", interrupt)
        assert main(arguments) == 130
    [version] = store.versions("books")
    assert main([*arguments, "--resume"]) == 0
    assert store.versions("books") == [version]
    assert store.aliases("books").version("stable") == version
    assert RunFolder.status(tmp_path / "run") == "finished"
    without_margin = [*arguments, "--no-switching-margin"]
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        assert main(without_margin) == 130
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "end", interrupt)
        assert main([*without_margin, "--resume"]) == 130
    create_key_pair(tmp_path / "key")
    assert main([*without_margin, "--resume", "--signing-key", str(tmp_path / "key")]) == 0
    first, second = store.versions("books")
    assert (first, second[2:]) == (version, version[2:])
    assert store.manifest("books", second).ranking.switching_margin == 0.0
    assert SIGNATURE in store.read_files("books", second)
    assert SIGNATURE not in store.read_files("books", first)
    assert store.aliases("books").version("stable") == second


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (["--seed", "1"], "config.seed was 0 and is 1"),
        (["--learning-rate", "0.02"], "config.learning_rate was 0.01 and is 0.02"),
        (["--threads", "2"], "threads was 1 and is 2"),
    ],
)
def test_other_settings_are_not_resumed(files, tiny_bert, tmp_path_factory, monkeypatch, capsys, flags, difference):
    """A different setting or number of threads is refused by name with status 2; --restart starts over."""
    place = tmp_path_factory.mktemp("other")
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        assert main(command(files, tiny_bert, place)) == 130
        assert main(command(files, tiny_bert, place, *flags, "--resume")) == 2
        assert difference in capsys.readouterr().err
        assert main(command(files, tiny_bert, place, "--restart")) == 130


def test_other_lists_are_not_resumed(files, tiny_bert, tmp_path, monkeypatch, capsys):
    """Changed content of a train file, or a test set that holds out other train lists, is refused by name."""
    arguments = command(files, tiny_bert, tmp_path)
    changed = tmp_path / "train.jsonl"
    changed.write_bytes((files / "train.jsonl").read_bytes())
    arguments[arguments.index("--train") + 1] = str(changed)
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        assert main(arguments) == 130
    changed.write_text("".join(changed.read_text().splitlines(keepends=True)[:-1]))
    assert main([*arguments, "--resume"]) == 2
    assert "data.train was" in capsys.readouterr().err
    changed.write_bytes((files / "train.jsonl").read_bytes())
    test = tmp_path / "test.jsonl"
    test.write_text("".join(changed.read_text().splitlines(keepends=True)[:2]))
    assert main([*arguments, "--resume", "--test", str(test)]) == 2
    error = capsys.readouterr().err
    assert 'data.train less dev and test was "40 lists' in error
    assert 'is "38 lists' in error


def test_a_test_set_may_be_added_on_resume(files, tiny_bert, tmp_path, monkeypatch):
    """A new test set without train lists is accepted: training continues, until the next Ctrl-C."""
    arguments = command(files, tiny_bert, tmp_path)
    test = tmp_path / "test.jsonl"
    test.write_bytes(
        (files / "dev.jsonl").read_bytes().replace(b'"id":"', b'"id":"new-').replace(b'"id": "', b'"id": "new-')
    )
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        assert main(arguments) == 130
        assert main([*arguments, "--resume", "--test", str(test)]) == 130


def test_a_truncated_checkpoint_is_one_line(files, tiny_bert, tmp_path, monkeypatch, capsys):
    """A truncated checkpoint gives status 2 and one line with --restart, without a traceback."""
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        assert main(command(files, tiny_bert, tmp_path)) == 130
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    capsys.readouterr()
    assert main(command(files, tiny_bert, tmp_path, "--resume")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--restart" in error


def test_resume_and_force_publish_a_run_that_did_not_improve(files, tiny_bert, tmp_path, capsys):
    """--resume --force publishes a run that ended unpublished; the same command without --resume keeps it."""
    arguments = [each for each in command(files, tiny_bert, tmp_path, "--max-steps", "3") if each != "--force"]
    arguments[arguments.index("--learning-rate") + 1] = "1e-9"
    assert main(arguments) == 3
    checkpoint = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    capsys.readouterr()
    assert main(arguments) == main([*arguments, "--force"]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert "holds a trained adapter that was not published" in line
        assert "--resume --force" in line
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == checkpoint
    assert main([*arguments, "--resume", "--force"]) == 0
    assert "published books@" in capsys.readouterr().out
