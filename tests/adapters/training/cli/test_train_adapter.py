"""lorb-train-adapter end to end, on real lists with a tiny base."""

import hashlib
import json
import re

import pytest

from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.golden_scores import check_golden_scores
from lorb_adapters.store.signing import TrustedKeys, create_key_pair
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter, read_verified_files
from lorb_adapters.training.cli.train_adapter import main


def test_a_forced_run_publishes_an_adapter_that_a_server_loads(command, files, tiny_bert, tmp_path, capsys):
    """The version is stable, reproduces its golden scores, and its report has the figures of all sets."""
    assert main([*command, "--force", "--test", str(files / "test.jsonl"), "--ood", str(files / "test.jsonl")]) == 0
    [(version, digest)] = re.findall(r"published books@(\S+) .*; manifest sha256 (\S+)", capsys.readouterr().out)
    store, base = Store(str(tmp_path / "store")), load_base(str(tiny_bert))
    assert store.aliases("books").version("stable") == version
    assert hashlib.sha256(store.read_files("books", version)["manifest.json"]).hexdigest() == digest
    adapter = load_adapter(store, "books", version, base)
    check_golden_scores(adapter, RescoringModel(base), base.text_encoder)
    assert len(adapter.manifest.golden_lists) > 0
    report = json.loads(store.read_files("books", version)["report.json"])
    assert list(report["sets"]) == ["dev", "test", "other domain"]
    assert report["lists"]["train"] == 24
    assert report["parameters"]["trained"] == adapter.weights.num_parameters
    for figures in report["sets"].values():
        assert figures["oracle_wer"] <= figures["rescored_wer"]
    assert "| test | 8 |" in store.read_files("books", version)["report.md"].decode()


def test_an_adapter_that_does_not_improve_is_not_published(command, tmp_path, capsys):
    """Two tiny steps do not improve dev: status 3, the reason on stderr, and nothing in the store."""
    assert main([*command, "--learning-rate", "1e-9"]) == 3
    assert "not published: on dev, cross-fitted, the WER went from" in capsys.readouterr().err
    assert Store(str(tmp_path / "store")).domains() == []


def test_dev_texts_can_be_kept_private(command, files, tmp_path):
    """With --no-golden-lists neither manifest nor reports contain a reference of dev."""
    assert main([*command, "--force", "--no-golden-lists", "--no-promote"]) == 0
    store = Store(str(tmp_path / "store"))
    [version] = store.versions("books")
    assert store.manifest("books", version).golden_lists == ()
    published = b"".join(store.read_files("books", version).values())
    for line in (files / "dev.jsonl").read_text().splitlines():
        assert json.loads(line)["ref"].encode() not in published
    assert "stable" not in store.aliases("books").by_name


def test_a_dry_run_reports_and_publishes_nothing(command, tmp_path, capsys):
    """With --dry-run the report is printed and written, and no store is created."""
    assert main([*command, "--dry-run", "--report-dir", str(tmp_path / "report")]) == 0
    assert "Word error rate" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.md", "report.html", "report.json"}
    assert not (tmp_path / "store").exists()


def test_a_report_that_cannot_be_written_is_one_line(command, tmp_path, capsys):
    """A folder in the place of report.md gives status 2 and one line with its path; nothing is published."""
    blocked = tmp_path / "report" / "report.md"
    blocked.mkdir(parents=True)
    assert main([*command, "--force", "--report-dir", str(blocked.parent)]) == 2
    assert f"{blocked} cannot be written: Is a directory\n" in capsys.readouterr().err
    assert Store(str(tmp_path / "store")).domains() == []


def test_the_audit_can_run_alone(command, files, tmp_path, capsys):
    """--audit-only needs neither base nor store, shows all findings, and gives status 2 for an error."""
    alone = [*command, "--audit-only", "--base", "/nowhere/base", "--store", ""]
    assert main(alone) == 0
    assert "Nothing suspicious was found." in capsys.readouterr().out
    repeated = tmp_path / "repeated.jsonl"
    dev = (files / "dev.jsonl").read_text()
    repeated.write_text(dev + "".join(dev.splitlines(keepends=True)[:2]))
    assert main([*alone, "--dev", str(repeated), "--test", str(files / "dev.jsonl")]) == 2
    captured = capsys.readouterr()
    assert "duplicate ids | 2 of 18" in captured.out
    assert "ids in both   | 18 of 18" in captured.out
    assert captured.err.startswith("lorb-train-adapter: dev: duplicate ids: 2 of 18, ")
    assert not (tmp_path / "run").exists()


def test_a_published_version_is_signed(command, tmp_path, capsys):
    """With --signing-key the version verifies; a file that is not a private key is refused before training."""
    public, _ = create_key_pair(tmp_path / "key")
    assert main([*command, "--force", "--signing-key", str(public)]) == 2
    assert "no private key" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*command, "--force", "--signing-key", str(tmp_path / "key")]) == 0
    store = Store(str(tmp_path / "store"))
    read_verified_files(store, "books", store.versions("books")[0], TrustedKeys(public))


def test_the_switching_margin_can_be_disabled(command, tmp_path):
    """With --no-switching-margin both margins of the published ranking are 0."""
    assert main([*command, "--force", "--no-switching-margin"]) == 0
    store = Store(str(tmp_path / "store"))
    ranking = store.manifest("books", store.versions("books")[0]).ranking
    assert (ranking.switching_margin, ranking.rank_prior.switching_margin) == (0.0, 0.0)


def test_dev_lists_are_never_trained_on(command, files, tmp_path):
    """Train lists with an id of dev are dropped and counted; equal train and dev files are refused."""
    both = tmp_path / "both.jsonl"
    both.write_text((files / "train.jsonl").read_text() + (files / "dev.jsonl").read_text())
    assert main([*command, "--train", str(both), "--force"]) == 0
    store = Store(str(tmp_path / "store"))
    report = json.loads(store.read_files("books", store.versions("books")[0])["report.json"])
    assert report["lists"]["dropped from train, held out elsewhere"] == 16
    assert main([*command, "--train", str(files / "dev.jsonl")]) == 2
    assert main([*command, "--test", str(files / "dev.jsonl")]) == 2


@pytest.mark.parametrize("method", ["full", "head", "bitfit", "adapter", "prefix"])
def test_the_other_methods_are_measured(command, tmp_path, method, capsys):
    """With --dry-run every method trains, is reported with its parameter count, and publishes nothing."""
    assert main([*command, "--method", method, "--dry-run", "--report-dir", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["config"]["method"] == method
    assert report["parameters"]["trained"] >= 33
    assert not (tmp_path / "store").exists()


def test_full_fine_tuning_writes_a_base_for_adapters(command, tmp_path, capsys):
    """The written base is not overwritten, and a second run trains an adapter on it."""
    folder = tmp_path / "base"
    assert main([*command, "--method", "full", "--output-base", str(folder)]) == 0
    assert "a base, not an adapter" in capsys.readouterr().out
    assert main([*command, "--method", "full", "--output-base", str(folder)]) == 2
    assert main([*command, "--base", str(folder), "--force"]) == 0


def test_losses_and_regularisers_combine(command, tmp_path, files):
    """MWER, distillation, correlation and R-Drop in one run are reported separately."""
    with_teacher = tmp_path / "with_teacher.jsonl"
    lines = [json.loads(line) for line in (files / "train.jsonl").read_text().splitlines()]
    for line in lines:
        for hypothesis in line["hyps"]:
            hypothesis["component_scores"] = {"pll": -2.0 * len(hypothesis["text"].split())}
    with_teacher.write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = [
        "--train",
        str(with_teacher),
        "--loss",
        "mwer+distill",
        "--teacher",
        "pll",
        "--correlation-rows",
        "one-per-list",
    ]
    more = ["--dropout", "0.1", "--r-drop", "1", "--ema", "0.5", "--dry-run", "--report-dir", str(tmp_path / "report")]
    assert main([*command, *flags, *more]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(report["losses"][0]["losses"]) == ["mwer", "distillation", "correlation", "r_drop"]


def test_ctrl_c_publishes_nothing(command, tmp_path, capsys, monkeypatch):
    """An interrupt during training gives status 130 and leaves the store empty."""
    from lorb_adapters.training import run

    def interrupt(*_arguments, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", interrupt)
    assert main([*command, "--force"]) == 130
    assert "nothing was published" in capsys.readouterr().err
    assert Store(str(tmp_path / "store")).domains() == []
