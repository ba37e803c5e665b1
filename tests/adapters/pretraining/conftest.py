"""Input files shared by the tests of lorb-build-base."""

import gzip
import json

import pytest


@pytest.fixture(scope="session")
def files(sample, tmp_path_factory):
    """A folder with the references of the sample's train lists as text, 60 train lists and 30 dev lists."""
    folder = tmp_path_factory.mktemp("files")
    with gzip.open(sample / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        train = list(lines)
    with gzip.open(sample / "dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        dev = [next(lines) for _ in range(30)]
    (folder / "text.txt").write_text("".join(json.loads(line)["ref"] + "\n" for line in train))
    (folder / "train.jsonl").write_text("".join(train[:60]))
    (folder / "dev.jsonl").write_text("".join(dev))
    return folder
