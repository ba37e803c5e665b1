"""Fixtures of the command-line tests: small list files, and a run that takes seconds."""

import gzip

import pytest


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """The first lists of the sample: 24 for train, 16 for dev and 8 for test."""
    folder = tmp_path_factory.mktemp("lists")
    for name, count in (("train", 24), ("dev", 16), ("test", 8)):
        with gzip.open(sample / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(count)))
    return folder


@pytest.fixture
def command(files, tiny_bert, tmp_path):
    """The arguments of a run that takes seconds and publishes in a new store."""
    return [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"),
        "--base", str(tiny_bert), "--store", str(tmp_path / "store"), "--max-steps", "2", "--quiet", "--threads", "1",
        "--run-dir", str(tmp_path / "run"), "--nice", "0",
    ]  # fmt: skip
