"""Fixtures of the report tests: the report of a real run that takes seconds."""

import gzip

import pytest


@pytest.fixture(scope="session")
def report_folder(sample, tiny_bert, tmp_path_factory):
    """The folder written with --report-dir: a tiny base, 24 train, 40 dev and 20 test lists, 4 steps."""
    from lorb_adapters.training.cli.train_adapter import main

    folder = tmp_path_factory.mktemp("reported")
    for name, count in (("train", 24), ("dev", 40), ("test", 20)):
        with gzip.open(sample / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(count)))
    roles = [flag for role in ("train", "dev", "test") for flag in (f"--{role}", str(folder / f"{role}.jsonl"))]
    status = main([
        "--domain", "books", *roles, "--base", str(tiny_bert), "--max-steps", "4", "--lists-per-step", "4",
        "--evaluations-per-epoch", "3", "--learning-rate", "1e-2", "--dropout", "0.1", "--r-drop", "1", "--dry-run",
        "--quiet", "--threads", "1", "--run-dir", str(folder / "run"), "--report-dir", str(folder / "report"),
    ])  # fmt: skip
    assert status == 0
    return folder / "report"


@pytest.fixture(scope="session")
def report_json(report_folder) -> bytes:
    """The report.json of `report_folder`."""
    return (report_folder / "report.json").read_bytes()
