"""lorb-train-adapter end to end on real lists with a tiny base, and every mistake a user makes on the way."""

import gzip
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


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """Small cuts of the sample's files: 24 train, 16 dev and 8 test lists."""
    folder = tmp_path_factory.mktemp("lists")
    for name, count in (("train", 24), ("dev", 16), ("test", 8)):
        with gzip.open(sample / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(count)))
    return folder


@pytest.fixture
def command(files, tiny_bert, tmp_path):
    """A run that takes seconds, publishing into a store that is not there yet."""
    return [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"),
        "--base", str(tiny_bert), "--store", str(tmp_path / "store"), "--max-steps", "2", "--quiet", "--threads", "1",
        "--run-dir", str(tmp_path / "run"),
    ]  # fmt: skip


def test_a_forced_run_publishes_what_a_server_can_load(command, files, tiny_bert, tmp_path, capsys):
    """The version is verified, reproduces its golden scores and becomes stable; the report has its figures."""
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


def test_what_does_not_help_is_not_published(command, tmp_path, capsys):
    """Two steps of training do not convince dev: exit status 3, the reason in words, nothing in the store."""
    assert main([*command, "--learning-rate", "1e-9"]) == 3
    assert "not published: on dev the WER went from" in capsys.readouterr().err
    assert Store(str(tmp_path / "store")).domains() == []


def test_a_store_that_cannot_be_is_found_before_training(command, tmp_path, capsys):
    """A store behind a file is one line and status 2, and no run was begun."""
    (tmp_path / "file").write_text("")
    behind = str(tmp_path / "file" / "store")
    assert main([*command, "--store", behind]) == 2
    assert capsys.readouterr().err == f"lorb-train-adapter: the store {behind} is not a folder\n"
    assert not (tmp_path / "run").exists()


def test_golden_lists_can_be_left_out(command, files, tmp_path):
    """With the flag no dev text travels in the manifest, nor in the reports beside it."""
    assert main([*command, "--force", "--no-golden-lists", "--no-promote"]) == 0
    store = Store(str(tmp_path / "store"))
    [version] = store.versions("books")
    assert store.manifest("books", version).golden_lists == ()
    published = b"".join(store.read_files("books", version).values())
    for line in (files / "dev.jsonl").read_text().splitlines():
        assert json.loads(line)["ref"].encode() not in published
    assert "stable" not in store.aliases("books").by_name


def test_a_dry_run_reports_and_publishes_nothing(command, tmp_path, capsys):
    """The report is printed and written where asked; no store is made."""
    assert main([*command, "--dry-run", "--report-dir", str(tmp_path / "report")]) == 0
    assert "Word error rate" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.md", "report.html", "report.json"}
    assert not (tmp_path / "store").exists()


def test_the_audit_can_be_had_alone(command, files, tmp_path, capsys):
    """It needs no base and no store, tells all defects at once, and its errors are the exit status."""
    alone = [*command, "--audit-only", "--base", "/nowhere/base", "--store", ""]
    assert main(alone) == 0
    assert "Nothing suspicious was found." in capsys.readouterr().out
    twice = tmp_path / "twice.jsonl"
    dev = (files / "dev.jsonl").read_text()
    twice.write_text(dev + "".join(dev.splitlines(keepends=True)[:2]))
    assert main([*alone, "--dev", str(twice), "--test", str(files / "dev.jsonl")]) == 2
    told = capsys.readouterr()
    assert "duplicate ids | 2 of 18" in told.out
    assert "ids in both   | 18 of 18" in told.out
    assert told.err.startswith("lorb-train-adapter: dev: duplicate ids: 2 of 18, ")
    assert not (tmp_path / "run").exists()


def test_what_is_published_is_signed(command, tmp_path, capsys):
    """With the key given; a file that is no key is found out before training."""
    public, _ = create_key_pair(tmp_path / "key")
    assert main([*command, "--force", "--signing-key", str(public)]) == 2
    assert "no private key" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*command, "--force", "--signing-key", str(tmp_path / "key")]) == 0
    store = Store(str(tmp_path / "store"))
    read_verified_files(store, "books", store.versions("books")[0], TrustedKeys(public))


def test_the_margin_can_be_switched_off(command, tmp_path):
    """With the flag the published ranking has none, with or without first-pass scores."""
    assert main([*command, "--force", "--no-switching-margin"]) == 0
    store = Store(str(tmp_path / "store"))
    ranking = store.manifest("books", store.versions("books")[0]).ranking
    assert (ranking.switching_margin, ranking.rank_prior.switching_margin) == (0.0, 0.0)


def broken_json(path):
    good = '{"id": "%d", "ref": "a", "hyps": [{"text": "a"}]}\n'
    path.write_text("".join(good % i for i in range(6)) + '{"id": "6", "ref": \n')
    return r"lists\.jsonl:7: "


def truncated_gzip(path):
    whole = gzip.compress(b'{"id": "1", "ref": "a", "hyps": [{"text": "a"}]}\n' * 50)
    path.write_bytes(whole[: len(whole) // 2])
    return r"lists\.jsonl(:\d+)?: "


def empty(path):
    path.write_text("")
    return r"lists\.jsonl:1: "


def no_reference(path):
    path.write_text('{"id": "1", "hyps": [{"text": "a"}]}\n')
    return r"lists\.jsonl:1: .*ref"


def id_twice(path):
    path.write_text('{"id": "1", "ref": "a", "hyps": [{"text": "a"}]}\n' * 2)
    return r"lists\.jsonl:2: .*1"


@pytest.mark.parametrize("damage", [broken_json, truncated_gzip, empty, no_reference, id_twice])
@pytest.mark.parametrize("role", ["--train", "--dev", "--test"])
def test_a_bad_file_is_one_line_with_its_place(command, tmp_path, capsys, damage, role):
    """Each defect, in any role, ends with exit status 2 and one line that names file and line: no traceback."""
    path = tmp_path / "lists.jsonl"
    place = damage(path)
    assert main([*command, role, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(place, error)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--domain", "../../etc"], "domain"),
        (["--base", "/nowhere/base"], "base '/nowhere/base' cannot be loaded"),
        (["--train", "/nowhere/lists.jsonl"], "/nowhere/lists.jsonl"),
        (["--epochs", "0"], "epochs is 0"),
        (["--learning-rate", "nan"], "learning-rate is nan"),
        (["--rank", "-1"], "rank is -1"),
        (["--layers", "1-x"], "layers is '1-x'"),
        (["--layers", "3-1"], "layers is '3-1'"),
        (["--layers", "7"], "numbered from 0 to 1"),
        (["--dropout", "1"], "dropout is 1.0"),
        (["--r-drop", "0.5"], "give dropout too"),
        (["--loss", "mwer+distill"], "teacher"),
        (["--teacher", "pll"], "teacher"),
        (["--loss", "mwer+distill", "--teacher", "pll"], "no component score 'pll'"),
        (["--method", "head"], "method head makes nothing that the server can load"),
        (["--method", "full"], "--output-base DIR"),
        (["--output-base", "/nowhere/mine"], "output-base is for method full"),
        (["--resume"], "holds no run to resume"),
        (["--alpha", "0"], "alpha is 0"),
        (["--method", "full", "--layers", "1", "--dry-run"], "layers is for methods that may leave some"),
        (["--method", "full", "--output-base", "/dev/null/mine"], "output-base /dev/null/mine cannot be made"),
        (["--report-dir", "/dev/null/report"], "report-dir /dev/null/report cannot be made"),
        (["--run-dir", "/dev/null/run"], "run-dir /dev/null/run cannot be made"),
        (["--threads", "-1"], "threads is -1"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--device", "cuda:99"], "device is 'cuda:99'"),
        (["--checkpoint-seconds", "nan"], "checkpoint-seconds is nan"),
    ],
)
def test_a_wrong_value_is_one_line(command, capsys, flags, reason):
    """A value that cannot work is refused before anything is trained, by name, with exit status 2."""
    assert main([*command, *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error


def test_dev_lists_never_train(command, files, tmp_path):
    """Train lists whose id stands in dev are dropped and counted; the same file in both roles leaves nothing."""
    both = tmp_path / "both.jsonl"
    both.write_text((files / "train.jsonl").read_text() + (files / "dev.jsonl").read_text())
    assert main([*command, "--train", str(both), "--force"]) == 0
    store = Store(str(tmp_path / "store"))
    report = json.loads(store.read_files("books", store.versions("books")[0])["report.json"])
    assert report["lists"]["dropped from train, held out elsewhere"] == 16
    assert main([*command, "--train", str(files / "dev.jsonl")]) == 2
    assert main([*command, "--test", str(files / "dev.jsonl")]) == 2


@pytest.mark.parametrize("method", ["full", "head", "bitfit", "adapter", "prefix"])
def test_a_method_that_cannot_be_published_is_measured(command, tmp_path, method, capsys):
    """With --dry-run every method trains, is reported with its own count, and publishes nothing."""
    assert main([*command, "--method", method, "--dry-run", "--report-dir", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["config"]["method"] == method
    assert report["parameters"]["trained"] >= 33
    assert not (tmp_path / "store").exists()


def test_full_fine_tuning_writes_a_base_that_adapters_can_be_trained_on(command, tmp_path, capsys):
    """It says that it is a base; the folder loads, and a second run adapts it."""
    mine = tmp_path / "mine"
    assert main([*command, "--method", "full", "--output-base", str(mine)]) == 0
    assert "a base, not an adapter" in capsys.readouterr().out
    assert main([*command, "--method", "full", "--output-base", str(mine)]) == 2
    assert main([*command, "--base", str(mine), "--force"]) == 0


def test_losses_and_regularisers_combine(command, tmp_path, files):
    """Distillation, correlation on one row a list, dropout and R-Drop in one run: each is told apart."""
    taught = tmp_path / "taught.jsonl"
    lines = [json.loads(line) for line in (files / "train.jsonl").read_text().splitlines()]
    for line in lines:
        for hypothesis in line["hyps"]:
            hypothesis["component_scores"] = {"pll": -2.0 * len(hypothesis["text"].split())}
    taught.write_text("".join(json.dumps(line) + "\n" for line in lines))
    flags = ["--train", str(taught), "--loss", "mwer+distill", "--teacher", "pll", "--correlation-rows", "one-per-list"]
    more = ["--dropout", "0.1", "--r-drop", "1", "--ema", "0.5", "--dry-run", "--report-dir", str(tmp_path / "report")]
    assert main([*command, *flags, *more]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert list(report["losses"][0]["losses"]) == ["mwer", "distillation", "correlation", "r_drop"]


def test_ctrl_c_publishes_nothing(command, tmp_path, capsys, monkeypatch):
    """An interrupt during training ends with exit status 130, a way to go on, and an empty store."""
    from lorb_adapters.training import run

    def interrupted(*_arguments, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train", interrupted)
    assert main([*command, "--force"]) == 130
    assert "nothing was published" in capsys.readouterr().err
    assert Store(str(tmp_path / "store")).domains() == []
